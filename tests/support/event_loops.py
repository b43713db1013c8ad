"""Run as a program: trio, and anyio on trio and asyncio, over the drop-in.

They are imported when it is installed already, as by every program under `tunstack python`:
trio takes methods out of the class `socket` while it is imported.
"""

from typing import Any

from stack.sockets import dropin

SERVER = "192.0.2.2"


async def _echo(stream: Any) -> None:
    async for data in stream:
        await (stream.send_all if hasattr(stream, "send_all") else stream.send)(data)


async def over_trio() -> None:
    """A server and a client of trio's own."""
    import trio

    with trio.fail_after(20):
        listeners = await trio.open_tcp_listeners(0, host=SERVER)
        port = listeners[0].socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, _echo, listeners)
            async with await trio.open_tcp_stream(SERVER, port) as stream:
                await stream.send_all(b"hello")
                assert await stream.receive_some() == b"hello"
            nursery.cancel_scope.cancel()


async def over_anyio() -> None:
    """A server and a client, whatever loop is below."""
    import anyio

    with anyio.fail_after(20):
        listener = await anyio.create_tcp_listener(local_host=SERVER)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, _echo)
            async with await anyio.connect_tcp(SERVER, port) as stream:
                await stream.send(b"hello")
                assert await stream.receive() == b"hello"
            tasks.cancel_scope.cancel()


def main() -> None:
    with dropin.open_host(None, f"{SERVER}/24") as host, dropin.installed(host):
        import anyio
        import trio

        trio.run(over_trio)
        for backend in ("asyncio", "trio"):
            anyio.run(over_anyio, backend=backend)
        assert host.host.counters.as_dict()["TcpPassiveOpens"] == 3
    print("all well")


if __name__ == "__main__":
    main()
