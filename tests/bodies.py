"""JSON that programs in other languages write, and that a store must give back to the letter.

`BODIES` and `NOT_JSON` are for every way that a body can take: units, imports, exports, a pooler.
"""

import json

BODIES = {
    # What jsonb refuses
    "an escaped NUL": r'{"a\u0000": "\u0000"}',
    "a lone high surrogate": r'"\ud800"',
    "a lone low surrogate": r'["\uDFFF", "\udc00\ud800", "\ud83d\u0061"]',
    "an escaped pair": r'"\ud83d\ude42 \uD83D\uDE42"',
    "a number beyond double": "1E400",
    "a small number beyond double": "-1e-400",
    # What jsonb, or a parser on the way, changes
    "integers": "[0, -0, 9007199254740993, 9223372036854775808, 18446744073709551616]",
    "a long integer": "-" + "1234567890" * 500,
    "a large float": "1e22",
    "floats": "[-0.0, 0.1, 1.0, 1.50, 1E5, 1e+05, 1e-05, 0e0, 3.141592653589793238462643]",
    "the order of keys": '{"b": 1, "a": 2, "aa": 3, "": 4, "A": 5}',
    "double keys": '{"a": 1, "a": {"b": 2, "b": 2}, "a": null}',
    "whitespace": ' \t\r\n{ "a"\n:\t[ 1 ,\r\n2 ] } \n',
    "no whitespace": '{"a":[1,2],"b":{"c":null}}',
    "escapes": r'"\" \\ \/ / \b\f\n\r\t \u002f \u00e9 \u00E9 é \u2028"',
    "escaped keys": r'{"\u0061": 1, "a": 2, "\n": 3}',
    # Shapes
    "null": "null",
    "true": "true",
    "false": "false",
    "zero": "0",
    "text": '"text"',
    "empty text": '""',
    "an empty object": "{}",
    "an empty array": "[]",
    "empty containers": '[[], {}, [[]], {"": {}}, [{}]]',
    "deep arrays": "[" * 1_000 + "]" * 1_000,
    "deep objects": '{"a":' * 1_000 + "1" + "}" * 1_000,
    # Text
    "non-ASCII": '{"größe": "中文 עברית 🙂 \u200b\u200d\u202e\u2028\u2029\u00a0"}',
    "code points at the ends": '"\x7f\x80\u07ff\ud7ff\ue000\ufeff\ufffd\uffff\U00010000\U0010ffff"',
    "what decomposes": '"é é Å Å ﬁ"',
    "what looks like a parameter": r"""{"a": ":b %s %(c)s $1 {d} ? :: --", "q": "'' \\' ''"}""",
    "what looks like JSON": json.dumps(json.dumps({"a": '"\\'})),
    "an object of an SDK": json.dumps(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "…", "signature": "A" * 400},
                {"type": "text", "text": "4 °C", "citations": None},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}},
            ],
            "usage": {"input_tokens": 12, "output_tokens": 3},
        },
        ensure_ascii=False,
        indent=2,
    ),
    # Sizes
    "long text": f'"{"x" * 1_000_000}"',
    "long text that is not ASCII": f'"{"🙂é" * 200_000}"',
    "many numbers": f"[{', '.join(map(str, range(100_000)))}]",
    "many keys": json.dumps({f"{n}": None for n in range(50_000)}),
}
"""By what is special about each."""

NOT_JSON = {
    "nothing": "",
    "a space": " ",
    "an open object": "{",
    "an open array": "[1, 2",
    "an open text": '"a',
    "one bracket too many": "{}}",
    "two values": "{} {}",
    "the wrong bracket": "[1}",
    "a comma at the end": "[1,]",
    "a comma at the end of an object": '{"a": 1,}',
    "no comma": '{"a": 1 "b": 2}',
    "no value": '{"a":}',
    "a bare key": "{a: 1}",
    "a number as a key": "{1: 1}",
    "single quotes": "'a'",
    "NaN": "NaN",
    "Infinity": "[-Infinity]",
    "Python": "True",
    "JavaScript": "undefined",
    "upper case": "NULL",
    "a comment": "{} // said",
    "a leading zero": "01",
    "a leading plus": "+1",
    "no digit before the point": ".5",
    "no digit after the point": "1.",
    "no exponent": "1e",
    "hexadecimal": "0x1F",
    "an unknown escape": r'"\x41"',
    "a short escape": r'"\u12"',
    "an escape that is no number": r'"\u12g4"',
    "a byte order mark": "\ufeff{}",
    "a no-break space": "\u00a0{}",
    "a form feed": "\f{}",
    "a raw NUL": '"\x00"',
    "a raw newline in text": '"a\nb"',
    "a raw tab in text": '"\t"',
    "a raw control character in text": '"\x1f"',
    "a raw lone surrogate": '"\ud800"',
    "an open text of a megabyte": '"' + "x" * 1_000_000,
}
"""Text that is no JSON, or that cannot be sent."""
