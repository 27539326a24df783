"""The texts of the console, in English and Chinese."""

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Literal

from domain.errors import error_named
from domain.event import EventType
from entrypoints.problems import CODES, DEFECT

Language = Literal["en", "zh"]

TEXTS: dict[str, tuple[str, str]] = {
    # the frame
    "console": ("Console", "控制台"),
    "skip": ("Skip to the content", "跳到正文"),
    "sections": ("Sections", "栏目"),
    "nav_users": ("Users", "用户"),
    "nav_conflicts": ("Conflicts", "冲突"),
    "nav_failures": ("Failures", "登录失败"),
    "nav_live": ("Live", "实时登录"),
    "nav_audit": ("Audit", "审计记录"),
    "sign_in": ("Sign in", "登录"),
    "sign_out": ("Sign out", "退出"),
    "signed_in_as": ("Signed in as", "当前管理员"),
    "theme_auto": ("Theme: system", "主题：跟随系统"),
    "theme_light": ("Theme: light", "主题：浅色"),
    "theme_dark": ("Theme: dark", "主题：深色"),
    "utc": ("Times are in UTC.", "时间为 UTC。"),
    "local_time": ("Times are in your time zone, {zone}.", "时间按您所在的时区显示：{zone}。"),
    "cancel": ("Cancel", "取消"),
    "next_page": ("Next page", "下一页"),
    "first_page": ("First page", "第一页"),
    "none": ("none", "无"),
    "unknown": ("unknown", "未知"),
    # signing in
    "key": ("Admin key", "管理密钥"),
    "key_hint": (
        "The key begins with wxadmin_. Your operator makes it with wxlogin keygen --admin.",
        "密钥以 wxadmin_ 开头，由运维人员用 wxlogin keygen --admin 生成。",
    ),
    "key_wrong": ("This is no valid admin key.", "这不是有效的管理密钥。"),
    "key_cannot_read": (
        "This key lacks the scope read, which the console needs.",
        "此密钥没有 read 权限，无法使用控制台。",
    ),
    "key_limited": (
        "Too many wrong keys from this address. Try again in {n} seconds.",
        "此地址输错密钥的次数过多，请 {n} 秒后再试。",
    ),
    "session_length": ("You stay signed in for 8 hours.", "登录状态保持 8 小时。"),
    # finding users
    "users": ("Users", "用户"),
    "search": ("Find a user", "查找用户"),
    "search_hint": ("Phone number, openid, unionid or user id", "手机号、openid、unionid 或用户 ID"),
    "find": ("Find", "查找"),
    "newest": ("Newest users", "最新用户"),
    "found": ("one user found|{n} users found", "找到 {n} 个用户"),
    "found_more": (
        "More than {n} users match. These are the newest.",
        "匹配的用户超过 {n} 个，这里列出最新的。",
    ),
    "found_none": (
        "No user has this phone number, openid, unionid or id.",
        "没有用户符合这个手机号、openid、unionid 或 ID。",
    ),
    "no_users": ("There are no users yet.", "还没有用户。"),
    "name": ("Name", "名称"),
    "phone": ("Phone", "手机号"),
    "apps": ("Apps", "小程序"),
    "created": ("Created", "创建时间"),
    "state": ("State", "状态"),
    "active": ("active", "正常"),
    "blocked": ("blocked", "已禁用"),
    "all_users": ("All users", "全部用户"),
    # a user
    "profile": ("Profile", "资料"),
    "user_id": ("User id", "用户 ID"),
    "unionid": ("unionid", "unionid"),
    "avatar": ("Picture (address)", "头像（地址）"),
    "language": ("Language", "语言"),
    "province": ("Province", "省份"),
    "city": ("City", "城市"),
    "country": ("Country", "国家"),
    "updated": ("Updated", "更新时间"),
    "blocked_since": ("Blocked since", "禁用时间"),
    "accounts": ("Accounts", "账号"),
    "app": ("App", "小程序"),
    "openid": ("openid", "openid"),
    "devices": ("Devices", "设备"),
    "device": ("Device", "设备"),
    "address": ("Address", "IP 地址"),
    "last_seen": ("Last seen", "最近使用"),
    "logged_in": ("Logged in", "登录时间"),
    "no_devices": ("The user is not logged in on any device.", "用户没有在任何设备上登录。"),
    "end": ("End", "结束"),
    "end_this": ("End the session on {device}", "结束 {device} 上的会话"),
    "end_all": ("End all sessions", "结束全部会话"),
    "trail": ("Trail", "操作记录"),
    "no_events": ("No events.", "没有记录。"),
    "whole_trail": ("The whole trail of this user", "此用户的全部记录"),
    "actions": ("Actions", "操作"),
    "block": ("Block", "禁用"),
    "unblock": ("Unblock", "解除禁用"),
    "merge": ("Merge", "合并"),
    "merge_with": ("Merge with another user", "与另一个用户合并"),
    # questions
    "ask_block": ("Block {name}?", "禁用 {name}？"),
    "block_effect": (
        "All sessions of the user end at once, and their logins are refused in every app.",
        "用户的全部会话会立即结束，在所有小程序里都不能再登录。",
    ),
    "reason": ("Reason", "原因"),
    "reason_hint": (
        "It stays in the audit trail: no personal data. At most 200 characters.",
        "原因会留在审计记录里，请不要写个人信息。最多 200 个字。",
    ),
    "reason_wrong": (
        "Give a reason of 1 to 200 characters in one line.",
        "请填写原因，1 到 200 个字，不要换行。",
    ),
    "reason_optional": ("Reason (optional)", "原因（选填）"),
    "ask_unblock": ("Unblock {name}?", "解除对 {name} 的禁用？"),
    "unblock_effect": (
        "The user may log in again. Sessions that the block ended stay ended.",
        "用户可以重新登录。因禁用而结束的会话不会恢复。",
    ),
    "ask_end": ("End this session of {name}?", "结束 {name} 的这个会话？"),
    "end_effect": (
        "The device is logged out with its next request. The user may log in again.",
        "设备在下一次请求时退出登录。用户可以重新登录。",
    ),
    "ask_end_all": ("End all sessions of {name}?", "结束 {name} 的全部会话？"),
    "end_all_effect": (
        "One device is logged out with its next request. The user may log in again.|"
        "{n} devices are logged out with their next request. The user may log in again.",
        "{n} 台设备在下一次请求时退出登录。用户可以重新登录。",
    ),
    # own data
    "export": ("Export all data", "导出全部数据"),
    "erase": ("Erase", "删除"),
    "ask_erase": ("Erase {name}?", "删除 {name}？"),
    "erase_effect": (
        "All that is stored about the user is deleted, and all sessions end. This cannot be undone."
        " The audit trail keeps the user's id. If the person logs in again, they are a new user.",
        "此用户的全部内容都会删除，会话都会结束，不能撤销。审计记录里会保留用户 ID。本人再次登录时是新用户。",
    ),
    "erase_type": ("Type the user id to confirm", "请输入用户 ID 以确认"),
    "erase_wrong": ("This is not the id of the user. Nothing was changed.", "这不是此用户的 ID。没有作任何更改。"),
    # conflicts and merges
    "conflicts": ("Conflicts", "冲突"),
    "conflicts_about": (
        "WeChat says that these users are one person: they have the same unionid. Compare them, and merge one into the"
        " other.",
        "微信表明下面每一对用户是同一个人：他们的 unionid 相同。请对照后，把其中一个合并到另一个。",
    ),
    "no_conflicts": ("There are no conflicts.", "没有冲突。"),
    "user": ("User", "用户"),
    "other_user": ("Other user", "另一个用户"),
    "unionid_changed": (
        "no one: WeChat gave this user another unionid than before",
        "无：微信给此用户的 unionid 与以前不同",
    ),
    "compare": ("Compare", "对照"),
    "compare_title": ("Compare two users", "对照两个用户"),
    "compare_with": ("Id of the other user", "另一个用户的 ID"),
    "same_user": ("Both ids are of the same user. There is nothing to merge.", "两个 ID 是同一个用户，不需要合并。"),
    "field": ("Field", "字段"),
    "first_user": ("First user", "第一个用户"),
    "second_user": ("Second user", "第二个用户"),
    "differs": ("differs", "不同"),
    "sessions": ("Sessions", "会话"),
    "who_remains": ("Who remains?", "保留哪一个？"),
    "remains_first": ("The first user: {name}", "第一个用户：{name}"),
    "remains_second": ("The second user: {name}", "第二个用户：{name}"),
    "remains_hint": (
        "The accounts and sessions of the other user move there. Both ids stay valid.",
        "另一个用户的账号和会话会转移过来。两个 ID 都仍然有效。",
    ),
    "ask_merge": ("Merge {name} into {other}?", "把 {name} 合并到 {other}？"),
    "merge_effect": (
        "A merge cannot be undone.",
        "合并后不能撤销。",
    ),
    "merge_blocks": (
        "One of them is blocked, so the remaining user is blocked, too, and all sessions end.",
        "其中一个已被禁用，因此保留的用户也会被禁用，全部会话会结束。",
    ),
    "lost": ("These values are lost. Confirm each:", "下列内容会丢失，请逐项确认："),
    "lose": ("{field}: drop “{value}”, keep “{kept}”", "{field}：舍弃“{value}”，保留“{kept}”"),
    "lose_none": ("No value is lost.", "没有内容会丢失。"),
    "lose_unconfirmed": (
        "Confirm each value that is lost. Nothing was changed.",
        "请逐项确认会丢失的内容。尚未作任何更改。",
    ),
    # failures
    "failures": ("Why logins fail now", "当前登录失败的原因"),
    "failures_since": ("Failed logins since", "统计起点："),
    "failures_about": (
        "The most frequent reasons come first. New failures appear here within seconds.",
        "按次数从多到少排列。新的失败几秒内就会出现。",
    ),
    "no_failures": ("No login has failed.", "没有失败的登录。"),
    "times": ("once|{n} times", "{n} 次"),
    "last": ("last", "最近一次"),
    "meaning": ("Meaning", "含义"),
    "cause": ("Usual cause", "常见原因"),
    "hint": ("What to do", "解决办法"),
    "retry": ("Retry", "重试"),
    "retry_never": ("does not help", "重试无效"),
    "retry_later": ("helps later", "可以稍后重试"),
    "retry_new_code": ("with a new code of wx.login()", "需要重新调用 wx.login() 获取 code"),
    "refresh": ("Refresh", "刷新"),
    "newer_error": ("An error of a newer release", "较新版本的错误"),
    "newer_hint": (
        "Another process runs a newer release, whose documentation explains this code: update this one, too",
        "另一个进程运行的是较新版本，此错误码见该版本的文档；请将本进程也升级",
    ),
    # live
    "live": ("Live logins", "实时登录"),
    "live_about": ("New logins appear at the top within two seconds.", "新的登录两秒内出现在最上面。"),
    "live_users_only": (
        "Only first logins of new users are shown. To see every login, set WXLOGIN_AUDIT_SESSIONS to true for the"
        " service and for this console.",
        "这里只显示新用户的首次登录。要看到每次登录，请把服务和控制台的 WXLOGIN_AUDIT_SESSIONS 都设为 true。",
    ),
    "live_first": ("new user", "新用户"),
    "live_none": ("No login yet.", "还没有登录。"),
    "pause": ("Pause", "暂停"),
    "resume": ("Resume", "继续"),
    "live_on": ("Following", "正在跟随"),
    "live_paused": ("Paused", "已暂停"),
    "live_lost": ("No answer from the console. Trying again.", "控制台没有响应，正在重试。"),
    "live_without_script": ("Without JavaScript, reload this page.", "未启用 JavaScript 时，请刷新页面。"),
    # audit
    "audit": ("Audit trail", "审计记录"),
    "time": ("Time", "时间"),
    "event": ("Event", "事件"),
    "actor": ("By", "操作者"),
    "all_types": ("all", "全部"),
    "since_day": ("Since (day in UTC)", "起始日期（UTC）"),
    "filter": ("Filter", "筛选"),
    "actor_hint": ("such as admin:ann", "例如 admin:ann"),
    "filter_wrong": ("This filter is not valid.", "筛选条件无效。"),
    # what was done
    "done_blocked": (
        "The user is blocked. No session was live.|The user is blocked. One session ended.|"
        "The user is blocked. {n} sessions ended.",
        "用户已禁用，结束了 {n} 个会话。",
    ),
    "done_unblocked": ("The user is unblocked.", "已解除禁用。"),
    "done_ended": ("The session ended.", "会话已结束。"),
    "done_ended_all": (
        "No session was live.|One session ended.|{n} sessions ended.",
        "结束了 {n} 个会话。",
    ),
    "done_gone": ("That session had ended before.", "该会话此前已经结束。"),
    "done_merged": (
        "The users are merged. No session was moved.|The users are merged. One session was moved.|"
        "The users are merged. {n} sessions were moved.",
        "已合并，转移了 {n} 个会话。",
    ),
    "done_erased": ("The user is erased.", "用户已删除。"),
    "done_signed_out": ("You are signed out.", "您已退出。"),
    # errors
    "error": ("Error", "出错了"),
    "error_forged": (
        "This form is not of your session, or another website sent it. Nothing was changed.",
        "这个表单不属于您的会话，或者来自别的网站。没有作任何更改。",
    ),
    "error_scope": ("Your key may not do this. Nothing was changed.", "您的密钥没有这个权限。没有作任何更改。"),
    "error_missing": ("There is no such user, session or page.", "没有这个用户、会话或页面。"),
    "error_request": ("The request is not valid. Nothing was changed.", "请求无效。没有作任何更改。"),
    "error_store": (
        "The database or the session store does not answer. Try again in a moment.",
        "数据库或会话存储没有响应，请稍后再试。",
    ),
    "error_defect": ("A defect of wxlogin. The log has the details.", "wxlogin 内部错误，详情见日志。"),
    "back": ("Back to the users", "回到用户列表"),
    # events
    "newer_event": ("Event of a newer release", "较新版本的事件"),
    "user.created": ("User created", "创建用户"),
    "user.phone_bound": ("Phone number bound", "绑定手机号"),
    "user.unionid_added": ("unionid added", "补充 unionid"),
    "user.unionid_conflict": ("unionid conflict", "unionid 冲突"),
    "user.blocked": ("User blocked", "禁用用户"),
    "user.unblocked": ("User unblocked", "解除禁用"),
    "user.merged": ("User merged", "合并用户"),
    "user.erased": ("User erased", "删除用户"),
    "user.consent_revoked": ("Consent revoked", "撤回授权"),
    "session.started": ("Logged in", "登录"),
    "session.ended": ("Session ended", "会话结束"),
    "scan.approved": ("Scan approved", "允许扫码登录"),
    "scan.denied": ("Scan denied", "拒绝扫码登录"),
    "key.reencrypted": ("Key encrypted anew", "密钥重新加密"),
}
"""By key: English, Chinese. English has up to three forms, for none, one and more; of two, for one and more."""

ERROR_TITLES = {
    "request_invalid": "请求格式不对",
    "code_missing": "请求没有 code",
    "app_unknown": "没有与这次登录对应的小程序",
    "code_invalid": "微信不认识这个 code",
    "code_used": "code 已经用过",
    "user_blocked_by_wechat": "微信拦截了该用户",
    "user_blocked": "该用户已被禁用",
    "phone_taken": "手机号已属于另一个用户",
    "rate_limited": "请求过多",
    "app_misconfigured": "微信不接受本服务的配置",
    "wechat_unavailable": "微信没有响应，或者表示繁忙",
    "wechat_bad_answer": "微信的响应无法理解",
    "store_unavailable": "数据库或会话存储没有响应",
    "internal_error": "wxlogin 内部错误",
}
"""The titles of the errors that a login can have, in Chinese."""


ERROR_HINTS: dict[str, tuple[str, str]] = {
    "request_invalid": (
        "Correct the client: the log line login_failed says what is wrong with the request",
        "改正客户端：日志里的 login_failed 说明了请求哪里不对",
    ),
    "code_missing": ("The client has to send the code of wx.login()", "客户端要发送 wx.login() 得到的 code"),
    "app_unknown": (
        "Add the app to WXLOGIN_APPS, or correct the appid that the client sends",
        "在 WXLOGIN_APPS 里添加这个小程序，或者改正客户端发送的 appid",
    ),
    "code_invalid": (
        "Call wx.login() again and send the new code at once",
        "再调一次 wx.login()，立即发送新的 code",
    ),
    "code_used": (
        "Call wx.login() again: every login needs a code of its own",
        "再调一次 wx.login()：每次登录都要用新的 code",
    ),
    "user_blocked_by_wechat": ("The user may appeal to WeChat", "用户可以向微信申诉"),
    "user_blocked": ("Unblock the user, if the block was a mistake", "如果是误禁用，请解除禁用"),
    "rate_limited": (
        "The limit of the app is reached: see WXLOGIN_APP_LOGIN_RATE_LIMIT, and how often clients log in",
        "达到了小程序的限额：检查 WXLOGIN_APP_LOGIN_RATE_LIMIT，以及客户端登录是否过于频繁",
    ),
    "app_misconfigured": (
        "The log line login_failed says what is wrong with the settings",
        "日志里的 login_failed 说明了哪项设置不对",
    ),
    "wechat_unavailable": (
        "Check WXLOGIN_WECHAT_URL and the network to it, and wait if WeChat itself is down",
        "检查 WXLOGIN_WECHAT_URL 和到那里的网络；如果是微信自身的故障，请等待恢复",
    ),
    "wechat_bad_answer": (
        "Check WXLOGIN_WECHAT_URL and what answers there",
        "检查 WXLOGIN_WECHAT_URL，以及那个地址上是什么在响应",
    ),
    "store_unavailable": (
        "Check the database and Redis: /readyz of the service names which does not answer",
        "检查数据库和 Redis：服务的 /readyz 会指出是哪一个没有响应",
    ),
    "internal_error": ("Report it with the traceback in the log", "请带上日志里的调用栈反馈"),
}
"""What an operator does about an error of a login that has no known errcode: English, Chinese."""


def text(language: Language, key: str, **values: object) -> str:
    """Return a text. `n` among the values chooses its form."""
    forms = TEXTS[key][language == "zh"].split("|")
    n = values.get("n")
    last = len(forms) - 1
    form = forms[max(0, last - 2 + min(n, 2)) if isinstance(n, int) else last]
    return form.format(**values) if values else form


def event_title(language: Language, type: str) -> str:  # noqa: A002  # the name of the field
    """Return what an event is. A newer release has types that are not known here."""
    return text(language, type if type in set(EventType) else "newer_event")


def error_title(language: Language, code: str) -> str:
    """Return what an error of a login is. A newer release has errors that are not known here."""
    if code not in CODES:
        return text(language, "newer_error")
    if language == "zh" and code in ERROR_TITLES:
        return ERROR_TITLES[code]
    return DEFECT.title if code == DEFECT.code else error_named(code).title


def error_hint(language: Language, code: str) -> str:
    """Return what an operator does about an error of a login."""
    if code not in CODES:
        return text(language, "newer_hint")
    return ERROR_HINTS.get(code, ERROR_HINTS["request_invalid"])[language == "zh"]


@lru_cache
def errcodes_in_chinese() -> Mapping[str, list[str]]:
    """Return meaning, cause and hint of WeChat's error codes in Chinese, as docs/wechat-errors.zh-CN.md has them."""
    path = files("entrypoints.admin.console").joinpath("errcodes_zh.json")
    explained: Mapping[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    return explained
