#!/usr/bin/env python3
"""Opens a SealedSecret without Waxwing, in an emergency: stock `age` and this script.

    python3 break-glass.py FILE IDENTITY NAMESPACE NAME SCOPE TYPE

FILE holds one SealedSecret (YAML or JSON), IDENTITY is an age identity file, and the rest is what
the file's metadata and spec say. Needs `age` on the PATH (or in $AGE) and the Python package
`cryptography`. Prints one JSON object of key to base64 value. The commitment and everything that a
value is bound to are checked: a wrong argument or a changed byte is an error, never another value.
"""
import base64, hashlib, hmac, json, os, re, struct, subprocess, sys
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

def b64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

def expand(prk, info):  # HKDF-Expand for one block of 32 bytes (RFC 5869)
    return hmac.new(prk, info + b"\x01", hashlib.sha256).digest()

path, identity, namespace, name, scope, kind = sys.argv[1:]
text = open(path, encoding="utf-8").read()
envelopes = {}
for age_file in re.findall(r'"?\bage"?:\s*"?([A-Za-z0-9+/]+=*)', text):
    run = subprocess.run([os.environ.get("AGE", "age"), "-d", "-i", identity],
                         input=base64.b64decode(age_file), capture_output=True)
    if run.returncode == 0 and len(run.stdout) == 41 and run.stdout.startswith(b"wax1/dek\0"):
        prk = hmac.new(b"wax1", run.stdout[9:], hashlib.sha256).digest()
        commit = expand(prk, b"wax1/commit")
        if base64.urlsafe_b64encode(commit).rstrip(b"=").decode() in text:
            envelopes[base64.b32encode(commit[:5]).decode().lower()] = (prk, commit)
opened = {}
for key, envelope, seq, blob in re.findall(
        r'"?([-._a-zA-Z0-9]+)"?:\s*"?wax1\.([a-z2-7]{8})\.(\d+)\.([A-Za-z0-9_-]+)', text):
    prk, commit = envelopes.get(envelope) or sys.exit(f"{key}: this identity does not open envelope {envelope}")
    bound = [scope, "" if scope == "cluster" else namespace, name if scope == "strict" else "", kind, key]
    aad = b"wax1/value\0" + b"".join(struct.pack(">I", len(f.encode())) + f.encode() for f in bound)
    aad += struct.pack(">Q", int(seq)) + commit
    value_key = expand(prk, b"wax1/value-key" + hashlib.sha256(aad).digest())
    raw = b64url(blob)
    try:
        plain = AESGCM(value_key).decrypt(raw[:12], raw[12:], aad)
    except Exception:
        sys.exit(f"{key}: sealed for another namespace, name, scope, type or key, or changed since")
    (length,) = struct.unpack(">I", plain[:4])
    opened[key] = base64.b64encode(plain[4:4 + length]).decode()
print(json.dumps(opened, sort_keys=True))
