<?php
// A backend in plain PHP that asks wxlogin who is calling. Run it with `php -S 127.0.0.1:9000 index.php`.
// It needs the extensions curl and apcu. With Apache, set `CGIPassAuth On`, which passes Authorization on.

define('CACHE_SECONDS', (int) (getenv('OAUTH_CACHE_SECONDS') ?: 30)); // how late a log-out may be seen

/** Ends the request. */
function refuse(int $status, string $header): never
{
    http_response_code($status);
    header($header);
    exit;
}

/** Returns what wxlogin says about the token, or null if wxlogin does not answer. */
function introspect(string $token): ?array
{
    $call = curl_init(getenv('OAUTH_INTROSPECTION_URL'));
    curl_setopt_array($call, [
        CURLOPT_USERPWD => getenv('OAUTH_CLIENT_ID') . ':' . getenv('OAUTH_CLIENT_SECRET'),
        CURLOPT_POSTFIELDS => http_build_query(['token' => $token]),
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_FAILONERROR => true,
        CURLOPT_TIMEOUT => 2,
    ]);
    $answer = curl_exec($call);
    if ($answer === false) {
        error_log('wxlogin did not answer: ' . curl_error($call));
    }
    return json_decode((string) $answer, true);
}

/** Returns the caller: sub is the user's id, client_id the appid. Ends the request if there is none. */
function caller(): array
{
    if (!preg_match('/^Bearer +(\S+)$/i', $_SERVER['HTTP_AUTHORIZATION'] ?? '', $bearer)) {
        refuse(401, 'WWW-Authenticate: Bearer');
    }
    $key = 'wxlogin:' . hash('sha256', $bearer[1]);
    if ($caller = apcu_fetch($key)) {
        return $caller;
    }
    $caller = introspect($bearer[1]) ?? refuse(503, 'Retry-After: 1');
    if (!$caller['active']) {
        refuse(401, 'WWW-Authenticate: Bearer error="invalid_token"');
    }
    $seconds = min(CACHE_SECONDS, $caller['exp'] - time());
    if ($seconds > 0) {
        apcu_store($key, $caller, $seconds);
    }
    return $caller;
}

$caller = caller();
header('Content-Type: application/json');
echo json_encode(['user_id' => $caller['sub'], 'openid' => $caller['openid'], 'appid' => $caller['client_id']]);
