const { explain, isLoggedOut, report } = require('./errors')

/** Runs what a page does: shows that it is busy, and the error if there is one. */
module.exports = async function run(page, work) {
  page.setData({ busy: true, error: '' })
  try {
    await work()
  } catch (error) {
    if (!isLoggedOut(error)) {
      report(error)
      page.setData({ error: explain(error) })
    }
  }
  page.setData({ busy: false })
}
