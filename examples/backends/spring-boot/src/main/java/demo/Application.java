// A Spring Boot backend whose resource server asks wxlogin who is calling. Run it with `mvn spring-boot:run`.
package demo;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import com.github.benmanes.caffeine.cache.Expiry;
import jakarta.servlet.Filter;
import jakarta.servlet.http.HttpServletResponse;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.util.HexFormat;
import java.util.Map;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.http.client.SimpleClientHttpRequestFactory;
import org.springframework.http.client.support.BasicAuthenticationInterceptor;
import org.springframework.security.authentication.AuthenticationServiceException;
import org.springframework.security.config.Customizer;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.core.OAuth2AuthenticatedPrincipal;
import org.springframework.security.oauth2.server.resource.introspection.OpaqueTokenIntrospector;
import org.springframework.security.oauth2.server.resource.introspection.SpringOpaqueTokenIntrospector;
import org.springframework.security.oauth2.server.resource.web.authentication.BearerTokenAuthenticationFilter;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.client.RestTemplate;

@SpringBootApplication
@RestController
public class Application {
    public static void main(String[] arguments) {
        SpringApplication.run(Application.class, arguments);
    }

    @GetMapping("/orders")
    Map<String, String> orders(@AuthenticationPrincipal OAuth2AuthenticatedPrincipal caller) {
        return Map.of("user_id", caller.getName(), "openid", caller.getAttribute("openid"),
                "appid", caller.getAttribute("client_id"));
    }

    @Bean
    SecurityFilterChain security(HttpSecurity http) throws Exception {
        return http
                .authorizeHttpRequests(requests -> requests.anyRequest().authenticated())
                .oauth2ResourceServer(server -> server.opaqueToken(Customizer.withDefaults()))
                .addFilterBefore(unavailable(), BearerTokenAuthenticationFilter.class)
                .build();
    }

    /** Answers 503 when wxlogin does not answer. Spring Security makes 500 of it. */
    static Filter unavailable() {
        return (request, response, chain) -> {
            try {
                chain.doFilter(request, response);
            } catch (AuthenticationServiceException error) {
                ((HttpServletResponse) response).setHeader("Retry-After", "1");
                ((HttpServletResponse) response).sendError(HttpServletResponse.SC_SERVICE_UNAVAILABLE);
            }
        };
    }

    @Bean
    OpaqueTokenIntrospector introspector(
            @Value("${spring.security.oauth2.resourceserver.opaquetoken.introspection-uri}") String uri,
            @Value("${spring.security.oauth2.resourceserver.opaquetoken.client-id}") String id,
            @Value("${spring.security.oauth2.resourceserver.opaquetoken.client-secret}") String secret,
            @Value("${wxlogin.cache}") Duration cacheFor) { // how late a log-out may be seen
        var requests = new SimpleClientHttpRequestFactory();
        requests.setConnectTimeout(Duration.ofSeconds(2));
        requests.setReadTimeout(Duration.ofSeconds(2));
        var rest = new RestTemplate(requests);
        rest.getInterceptors().add(new BasicAuthenticationInterceptor(id, secret));
        var wxlogin = new SpringOpaqueTokenIntrospector(uri, rest);
        Cache<String, OAuth2AuthenticatedPrincipal> cache = Caffeine.newBuilder()
                .maximumSize(10_000)
                .expireAfter(Expiry.<String, OAuth2AuthenticatedPrincipal>writing((key, caller) -> {
                    var left = Duration.between(Instant.now(), caller.<Instant>getAttribute("exp"));
                    return left.compareTo(cacheFor) < 0 ? left : cacheFor;
                }))
                .build();
        return token -> cache.get(hash(token), key -> wxlogin.introspect(token)); // what it throws is not cached
    }

    static String hash(String token) {
        try {
            var sha256 = MessageDigest.getInstance("SHA-256");
            return HexFormat.of().formatHex(sha256.digest(token.getBytes(StandardCharsets.UTF_8)));
        } catch (java.security.NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
    }
}
