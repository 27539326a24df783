// wxlogin behind Spring Cloud Gateway 5, which has no forward authentication of its own. We have not run this file.
// It needs spring-cloud-starter-gateway-server-webflux, and these properties:
//   server.port: 8080
//   spring.cloud.gateway.server.webflux.httpclient.pool.max-idle-time: 10s

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.cloud.gateway.filter.GatewayFilterChain;
import org.springframework.cloud.gateway.route.RouteLocator;
import org.springframework.cloud.gateway.route.builder.RouteLocatorBuilder;
import org.springframework.context.annotation.Bean;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpMethod;
import org.springframework.http.ResponseEntity;
import org.springframework.http.client.reactive.ReactorClientHttpConnector;
import org.springframework.http.server.reactive.ServerHttpResponse;
import org.springframework.web.reactive.function.client.WebClient;
import org.springframework.web.server.ServerWebExchange;
import reactor.core.publisher.Mono;
import reactor.netty.http.client.HttpClient;
import reactor.netty.resources.ConnectionProvider;

@SpringBootApplication
public class SpringCloudGateway {
    private static final String WXLOGIN = "http://127.0.0.1:8000"; // one address: a load balancer's, if there are two
    private static final String BACKEND = "http://127.0.0.1:9000";

    /** What only wxlogin may say, also as X_WX_OPENID, which many backends take for X-WX-OPENID. */
    private static final Pattern TRUSTED = Pattern.compile(
            "x[-_](user[-_]id|user[-_]assertion|session[-_]id|wx[-_].*|original[-_]forwarded[-_]for|forwarded[-_]for)|forwarded",
            Pattern.CASE_INSENSITIVE);
    private static final List<String> IDENTITY =
            List.of("X-User-Id", "X-Session-Id", "X-WX-OPENID", "X-WX-APPID", "X-WX-UNIONID", "X-User-Assertion");
    private static final List<String> REFUSAL =
            List.of("Content-Type", "Cache-Control", "WWW-Authenticate", "Retry-After");
    private static final ResponseEntity<byte[]> UNAVAILABLE =
            ResponseEntity.status(503).header("Retry-After", "1").header("Cache-Control", "no-store").build();

    private final WebClient wxlogin = WebClient.builder()
            .baseUrl(WXLOGIN)
            .clientConnector(new ReactorClientHttpConnector(HttpClient.create(ConnectionProvider.builder("wxlogin")
                    .maxIdleTime(Duration.ofSeconds(10)) // wxlogin closes an idle connection after 15
                    .build())))
            .build();

    public static void main(String[] arguments) {
        SpringApplication.run(SpringCloudGateway.class, arguments);
    }

    @Bean
    RouteLocator routes(RouteLocatorBuilder builder) {
        return builder.routes()
                .route("wxlogin", route -> route.path("/login", "/login/", "/v1/**", "/wechat/push/{appid}")
                        .filters(filters -> filters.filter((exchange, chain) -> chain.filter(cleaned(exchange))))
                        .uri(WXLOGIN))
                // For browsers the codes to scan, for backends the public keys. The rest of /oauth2 is for backends
                // inside.
                .route("public", route -> route.method(HttpMethod.GET, HttpMethod.HEAD).and().path(
                                "/oauth2/device", "/oauth2/device/{picture}",
                                "/.well-known/jwks.json", "/.well-known/oauth-authorization-server")
                        .filters(filters -> filters.filter((exchange, chain) -> chain.filter(cleaned(exchange))))
                        .uri(WXLOGIN))
                .route("backend", route -> route.path("/**")
                        .filters(filters -> filters.filter(this::authenticate))
                        .uri(BACKEND))
                .build();
    }

    private Mono<Void> authenticate(ServerWebExchange claimed, GatewayFilterChain chain) {
        ServerWebExchange exchange = cleaned(claimed);
        HttpHeaders headers = exchange.getRequest().getHeaders();
        return wxlogin.get()
                .uri("/auth")
                .headers(question -> {
                    for (String name : List.of("Authorization", "X-Forwarded-For")) {
                        headers.getOrEmpty(name).forEach(value -> question.add(name, value));
                    }
                })
                .exchangeToMono(answer -> answer.toEntity(byte[].class))
                .timeout(Duration.ofSeconds(5))
                .onErrorResume(error -> Mono.just(UNAVAILABLE))
                .flatMap(answer -> answer.getStatusCode().is2xxSuccessful()
                        ? chain.filter(identified(exchange, answer.getHeaders()))
                        : refuse(exchange.getResponse(), answer));
    }

    /** Returns the exchange without the client's own claims, and with its address. */
    private static ServerWebExchange cleaned(ServerWebExchange exchange) {
        var address = exchange.getRequest().getRemoteAddress().getAddress().getHostAddress();
        return exchange.mutate().request(request -> request.headers(headers -> {
            var names = new ArrayList<String>();
            headers.forEach((name, values) -> names.add(name));
            names.stream().filter(name -> TRUSTED.matcher(name).matches()).forEach(headers::remove);
            headers.set("X-Forwarded-For", address);
        })).build();
    }

    private static ServerWebExchange identified(ServerWebExchange exchange, HttpHeaders said) {
        return exchange.mutate().request(request -> request.headers(headers -> {
            IDENTITY.stream().filter(said::containsHeader).forEach(name -> headers.set(name, said.getFirst(name)));
            headers.set("X-WX-SOURCE", "wx_client"); // WeChat Cloud Run: the caller came through WeChat
            headers.remove("Authorization"); // with the token the backend could act as the user
        })).build();
    }

    private static Mono<Void> refuse(ServerHttpResponse response, ResponseEntity<byte[]> answer) {
        response.setStatusCode(answer.getStatusCode());
        REFUSAL.forEach(name -> answer.getHeaders().getOrEmpty(name).forEach(
                value -> response.getHeaders().add(name, value)));
        byte[] body = answer.getBody() == null ? new byte[0] : answer.getBody();
        return response.writeWith(Mono.just(response.bufferFactory().wrap(body)));
    }
}
