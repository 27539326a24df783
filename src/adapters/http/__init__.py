"""Calls over HTTP to receivers: webhooks, by Standard Webhooks 1.0 (https://www.standardwebhooks.com)."""
