"""The yardstick of the bench: the least that a Python signer over HTTP can be.

One aiohttp handler that reads a JSON string of hex, hashes it, signs it with ed25519, verifies the signature
and answers in Base58. No policy, no watermark, no metrics, no limits, no log. Run as
`python -m cli.bench.bare`; it prints its address.
"""

import asyncio
import json
import sys

from aiohttp import web

from signatory.crypto.curves import KeyType, Purpose
from signatory.crypto.keypair import Verifier, from_secret
from signatory.tezos.keys import Signature

SEED = bytes(range(32))


def application() -> web.Application:
    """The handler under `POST /keys/{pkh}`, like the daemon's."""
    pair = from_secret(KeyType.ED25519, SEED)
    verifier = Verifier(KeyType.ED25519, pair.public, Purpose.TEZOS)

    async def sign(request: web.Request) -> web.Response:
        message = bytes.fromhex(json.loads(await request.read()))
        signature = pair.sign(message)
        if not verifier.verify(message, signature):
            return web.Response(status=500)
        text = Signature(KeyType.ED25519, signature).text
        return web.json_response({"signature": text})

    app = web.Application()
    app.router.add_post("/keys/{pkh}", sign)
    return app


async def main() -> None:
    """Serve on a free loopback port until standard input ends."""
    runner = web.AppRunner(application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sys.stdout.write(f"127.0.0.1:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
