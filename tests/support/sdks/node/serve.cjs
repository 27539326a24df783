// Serves `methods` on stdin and stdout: in goes a line [method, ...arguments], out a line {result} or {error}.
'use strict';

const { createInterface } = require('node:readline');

const LONGEST_TEST_MILLISECONDS = 60_000;

async function answer([method, ...args], methods) {
  try {
    return { result: await methods[method](...args) };
  } catch (error) {
    return { error: { message: error.message, code: error.code } };
  }
}

module.exports = async function serve(methods) {
  setTimeout(() => process.exit(1), LONGEST_TEST_MILLISECONDS).unref();
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await answer(JSON.parse(line), methods)));
  }
};
