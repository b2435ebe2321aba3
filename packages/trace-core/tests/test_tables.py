"""Secrets in CSV and its like, under header rows that name them."""

from __future__ import annotations

import csv
import io
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trace_core._processors.clean import clean_text

SECRET = "hunter2-x9"
KEY = "a8f9b2c3d4e5f6"
HIDDEN = "[redacted:assigned]"
LONG = "," + "n" * 60
TABLES = [
    "user,password\nbob,{secret}\nann,{secret}\n",
    "user;api_key;note\r\nbob;{key};x\r\nann;{key};y\r\n",
    "user\tclient secret\nbob\t{secret}",
    "Here it is:\n\n```csv\nPassword, user\n{secret}, bob\n```\nThat was it.",
    '"user","password","age"\n"Smith, Bob","{secret}","7"\n',
    "id,access_token,refreshToken,pwd\n1,{key},{key},{secret}\n",
    "a token for each:\nuser,token\nbob,{key}\n",
    '{{"path": "users.csv", "content":"user,password\\nbob,{secret}\\nann,{secret}"}}',
    '{{"rows": ["x"], "text": "Here:\\n\\nuser;api_key\\nbob;{key}\\n"}}',
    "| user | password |\n|------|:--------:|\n| bob  | {secret} |\n| ann | {secret}    |\n",
    "user | api key\n--- | ---\nbob | {key}\n",
    "x,y\nz,z\nuser,password\nbob,{secret}\n",
    " id | login | password   \n----+-------+------------\n  1 | eva   | {secret}\n(1 row)\n",
    "+----+------------+\n| id | password   |\n+----+------------+\n|  1 | {secret} |\n+----+------------+",
    "INSERT INTO users (name, password) VALUES ('O''Neil, (x)', '{secret}'), (lower('B'), '{secret}');",
    '{{"sql": "insert into `a`.`b`\\n(`id`, `apiToken`)\\nvalues\\n(1, \'{key}\')"}}',
    "INSERT INTO t (a, password) VALUES (1, N'{secret}') ON CONFLICT DO NOTHING",
    "| id | token |\n| 1 |                                 {key} |\n",  # aligned to the right
    f"id|password|name{' ' * 61}\n1|{{secret}}|b\n",
    "a|password|b\n|{secret}|c\n",  # whose first cell is empty
    "user,password\nann,required\nbob,{secret}\n\nid,token\n1,{key}\n",
    # whose header row, or the row behind it, ends far behind the name
    *(f"x\npassword{LONG * many}\n{{secret}}{',1' * many}\n" for many in range(3, 9)),
    *(f"x\npassword,n\n{'y' * size},1\n{{secret}},1\n" for size in (300, 350, 400, 2_000)),
]
HARMLESS = [
    "token,count\nthe2,12\nbar12345,33\n",
    "user,password\nbob,required\nann,optional\n",
    "field,password\ntype,string\nmax,12\n",
    "key,value\nalpha-2026-x,a8f9b2c3d4e5f6\n",
    "primary_key,next_token\na8f9b2c3d4e5f6,a8f9b2c3d4e5f6\n",
    "user,password\n\nbob,hunter2-x9\n",
    "Choose a password, then a name\nwith 8 letters, such as abcdef1\n",
    "password, token and key\nchapter, page-2026x\n",
    "import os, secret\nfrom a2, b345678 import c\n",
    "SELECT user,password\nFROM users2\n",
    "user,password\nbob\nabcdef12\n",
    "| Feature | Token | Auth |\n|---|---|---|\n| v1-2026 | bar12345 | OAuth2.0 |\n",
    "| Setting | Password |\n|---|---|\n| length | 8-64 characters |\n| stored | sha-256 |\n",
    "| Provider | API key |\n|---|---|\n| S3 | AWS_S3_KEY_ID |\n| x | $X_KEY2 |\n",
    "username,password\nuser_name_1,os.environ\n",
    "| host | password |\n|---|---|\n| server7a | 1234 |\n",
    "| host | pw |\n| web-01x |   n1 |\n",
    "|host|password|\n|server7a|1234|\n",
]


@pytest.mark.parametrize("table", TABLES)
def test_secrets_under_their_name_are_removed(table: str) -> None:
    """All that look like one, in any row; the rest of the table stays."""
    assert clean_text(table.format(secret=SECRET, key=KEY)) == table.format(
        secret=HIDDEN, key=HIDDEN
    )


@pytest.mark.parametrize("text", HARMLESS)
def test_other_tables_and_prose_stay(text: str) -> None:
    """Names that count, words, lines with commas."""
    assert clean_text(text) == text


CELLS = st.text(string.ascii_lowercase + " ,'", max_size=8)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1), st.sampled_from(",;\t"))
def test_what_is_written_as_csv_loses_its_secrets(
    rows: list[tuple[str, str, str]], sign: str
) -> None:
    """Whatever the other cells are, and quoted where they must be."""
    table = io.StringIO()
    writer = csv.writer(table, delimiter=sign, lineterminator="\n")
    writer.writerow(("name", "first", "password", "city"))
    for number, (name, first, city) in enumerate(rows):
        writer.writerow((f"n{name}", first, f"Xk{number}f-dZq", city))
    cleaned = list(csv.reader(io.StringIO(clean_text(table.getvalue())), delimiter=sign))
    assert [row[2] for row in cleaned[1:]] == [HIDDEN] * len(rows)
    assert [(row[0][1:], row[1], row[3]) for row in cleaned[1:]] == rows


def test_a_large_table_loses_all_secrets() -> None:
    """In each of its columns; what is too much to judge is withheld."""
    rows = [f"n{i},Xk{i}f-dZq,a8f{i}b2c3Zd4e5" for i in range(8_000)]
    cleaned = clean_text("\n".join(["user,password,api_key", *rows]))
    assert "f-dZq" not in cleaned
    assert "c3Zd4" not in cleaned
    assert f"\nn1,{HIDDEN},{HIDDEN}\n" in cleaned


@pytest.mark.parametrize("lead", ["auth ", "a secret of ", "the key: ", ""])
@pytest.mark.parametrize("size", [0, 20_000])
def test_a_table_behind_another_name_loses_its_secrets(lead: str, size: int) -> None:
    """In JSON too: of names that stand close together only the first is known of."""
    text = "and so on " * (size // 10) + lead
    text += '{"output": " id | password\\n----+----------\\n  1 | wf0gDsTcCWF6\\n"}'
    assert "wf0gDsTcCWF6" not in clean_text(text)
