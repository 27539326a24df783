import { createClient, uniAdapter } from '@wxlogin/client'

const client = createClient({ baseUrl: 'https://api.example.com', adapter: uniAdapter(uni) })

export async function start(): Promise<boolean> {
  client.onLoggedOut(({ code }) => uni.reLaunch({ url: `/pages/logged-out/index?code=${code}` }))
  const { user } = await client.login()
  return user.is_new
}

// @ts-expect-error: uni has types, and is not any
void uni.noSuchCall
