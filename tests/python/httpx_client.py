"""httpx, over the versions of HTTP that it knows; prints what it got."""

import asyncio
import json
import ssl
import sys

import httpx

HOST = "app.test"


def context(certificate):
    context = ssl.create_default_context(cafile=certificate)
    # The test's certificate lacks what only authorities have.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    return context


def pieces():
    for number in range(100):
        yield b"%03d" % number * 1000


async def many(base, certificate):
    """Has a hundred requests under way at once on one HTTP/2 connection."""
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(http1=False, http2=True, verify=context(certificate), trust_env=False, timeout=20, limits=limits) as client:
        asks = [client.get(f"{base}/{n}", headers={"Host": HOST}, extensions={"sni_hostname": HOST}) for n in range(100)]
        answers = await asyncio.gather(*asks)
        return sorted(int(answer.json()["uri"][1:]) for answer in answers) == list(range(100))


def one(base, certificate, **versions):
    with httpx.Client(verify=context(certificate), trust_env=False, timeout=20, **versions) as client:
        ask = {"headers": {"Host": HOST}, "extensions": {"sni_hostname": HOST}}
        get = client.get(f"{base}/a%2Fb?q=%20", **ask)
        post = client.post(f"{base}/", content=pieces(), **ask)
        head = client.head(f"{base}/", **ask)
        return {
            "version": get.http_version,
            "uri": get.json()["uri"],
            "host": get.json()["host"],
            "uploaded": post.json()["body"]["bytes"],
            "head": [head.status_code, len(head.content)],
        }


def main(http, https, certificate):
    http, https = f"http://127.0.0.1:{http}", f"https://127.0.0.1:{https}"
    print(
        json.dumps(
            {
                "http/1.1": one(http, certificate),
                "h2c": one(http, certificate, http1=False, http2=True),
                "https http/1.1": one(https, certificate, http1=True, http2=False),
                "https h2": one(https, certificate, http1=True, http2=True),
                "many": asyncio.run(many(https, certificate)),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
