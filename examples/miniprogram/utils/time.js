/** A time of the service, as the user's clock shows it. */
module.exports = function localTime(rfc3339) {
  const time = new Date(rfc3339)
  const two = (number) => String(number).padStart(2, '0')
  const date = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join('-')
  return `${date} ${two(time.getHours())}:${two(time.getMinutes())}`
}
