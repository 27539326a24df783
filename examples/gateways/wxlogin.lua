-- Forward authentication for HAProxy: `http-request lua.wxlogin URL` asks wxlogin's /auth who is calling.
--
-- 2xx: the request goes on with the identity in its headers, and the variable txn.wxlogin is true.
-- Anything else is the client's answer. The variable is how haproxy.cfg fails closed: it lets nothing through without.
--
-- Waiting for the answer yields, so HAProxy serves others meanwhile. Header values come from and go to HAProxy's own
-- parser, which lets no line break through: nothing here can make one header into two.

local IDENTITY = { "x-user-id", "x-session-id", "x-wx-openid", "x-wx-appid", "x-wx-unionid", "x-user-assertion" }
local REFUSAL = { "content-type", "cache-control", "www-authenticate", "retry-after" }
local TIMEOUT = 5000 -- milliseconds; wxlogin itself gives up on a store after three seconds

local UNAVAILABLE = {
    status = 503,
    headers = {
        ["content-type"] = { "application/problem+json" },
        ["cache-control"] = { "no-store" },
        ["retry-after"] = { "1" },
    },
    body = '{"type":"urn:wxlogin:error:store_unavailable","title":"Service Unavailable","status":503,'
        .. '"code":"store_unavailable","retry":"later"}',
}

-- All Authorization headers, so that wxlogin can refuse two; never the body.
local function ask(txn, url)
    local given = txn.http:req_get_headers()
    return core.httpclient():get({
        url = url,
        timeout = TIMEOUT,
        headers = {
            ["authorization"] = given["authorization"],
            ["x-forwarded-for"] = given["x-forwarded-for"],
        },
    })
end

-- HAProxy answers for a wxlogin that does not: with a page, which is no problem of wxlogin's.
local function is_wxlogins(answer)
    local kind = answer.headers and answer.headers["content-type"]
    return kind ~= nil and kind[0] == "application/problem+json"
end

local function refuse(txn, answer)
    local reply = txn:reply({ status = answer.status, body = answer.body })
    for _, name in ipairs(REFUSAL) do
        for _, value in pairs(answer.headers[name] or {}) do
            reply:add_header(name, value)
        end
    end
    txn:done(reply)
end

core.register_action("wxlogin", { "http-req" }, function(txn, url)
    local answer = ask(txn, url)
    if answer.status < 200 or answer.status > 299 then
        return refuse(txn, is_wxlogins(answer) and answer or UNAVAILABLE)
    end
    for _, name in ipairs(IDENTITY) do
        for _, value in pairs(answer.headers[name] or {}) do
            txn.http:req_set_header(name, value)
        end
    end
    txn:set_var("txn.wxlogin", true)
end, 1)
