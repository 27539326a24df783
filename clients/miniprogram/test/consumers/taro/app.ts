import Taro from '@tarojs/taro'
import { createClient, taroAdapter } from '@wxlogin/client'

const client = createClient({ baseUrl: 'https://api.example.com', adapter: taroAdapter(Taro) })

export async function start(): Promise<boolean> {
  client.onLoggedOut(({ code }) => void Taro.reLaunch({ url: `/pages/logged-out/index?code=${code}` }))
  const { user } = await client.login()
  return user.is_new
}

// @ts-expect-error: Taro has types, and is not any
void Taro.noSuchCall
