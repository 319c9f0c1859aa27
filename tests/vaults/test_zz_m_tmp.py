import time
from rigs import CALL, signs, until
from signatory.crypto.curves import KeyType, Purpose
async def test_many(processes, short_folder, opened):
    first = await opened(processes.rig(short_folder))
    keys = [await first.generate(KeyType.ED25519, Purpose.TEZOS, CALL) for _ in range(60)]
    await first.close()
    t=time.time()
    try:
        vault = await opened(processes.rig(short_folder, timeout=1.0))
    except Exception as e:
        print("OPEN FAILED", e); raise
    print("opened after", time.time()-t, len(await vault.list()), vault.readiness().reason[:200])
    while len(await vault.list())<60 and time.time()-t<25:
        import asyncio; await asyncio.sleep(3); s=vault._link._keeper.session; print(round(time.time()-t,1), len(vault._link.shown()), len(s.handles), len(s.refused), len(s.coming), s.loading.locked(), s.is_over, len(s.client._asked), s.client._waiting._value, vault.readiness().reason[-300:])
