"""A backend that uses wechatpy as its documentation says. It knows nothing of a sandbox."""

import json
import sys

from wechatpy import WeChatClient

appid, secret, code, phone_code = sys.argv[1:]
client = WeChatClient(appid, secret)
session = client.wxa.code_to_session(code)
phone = client.wxa.get_phone_number(phone_code)["phone_info"]
sys.stdout.write(json.dumps({"session": session, "phone": phone}))
