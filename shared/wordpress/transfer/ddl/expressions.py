"""Which expressions and queries of a definition are taken over: words we know, columns, literals; nothing else.

A function that is not listed here may read files, sleep, lock or run programs: what calls it is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from .tokens import Kind, Token

FUNCTIONS = frozenset(
    """abs acos adddate addtime ascii asin atan atan2 bin bin_to_uuid bit_count bit_length cast ceil ceiling char
    char_length character_length coalesce concat concat_ws conv convert convert_tz cos cot crc32 curdate
    current_date current_time current_timestamp curtime date date_add date_format date_sub datediff day dayname
    dayofmonth dayofweek dayofyear degrees elt exp export_set extract field find_in_set floor format from_base64
    from_days from_unixtime greatest hex hour if ifnull inet6_aton inet6_ntoa inet_aton inet_ntoa insert instr
    interval is_ipv4 is_ipv6 is_uuid isnull json_array json_compact json_contains json_contains_path json_depth
    json_exists json_extract json_insert json_keys json_length json_merge json_merge_patch json_merge_preserve
    json_object json_overlaps json_query json_quote json_remove json_replace json_search json_set json_type
    json_unquote json_valid json_value last_day lcase least left length ln localtime localtimestamp locate log log10
    log2 lower lpad ltrim makedate maketime md5 microsecond mid minute mod month monthname natural_sort_key now
    nullif nvl oct octet_length ord period_add period_diff pi point position pow power quarter quote radians
    regexp_instr regexp_like regexp_replace regexp_substr repeat replace reverse right round rpad rtrim sec_to_time
    second sha sha1 sha2 sign sin soundex space sqrt st_asgeojson st_astext st_distance st_geomfromtext
    st_pointfromtext st_srid st_x st_y str_to_date strcmp subdate substr substring substring_index subtime sysdate
    tan time time_format time_to_sec timediff timestamp timestampadd timestampdiff to_base64 to_char to_days
    to_seconds trim truncate ucase unhex unix_timestamp upper utc_date utc_time utc_timestamp uuid uuid_short
    uuid_to_bin week weekday weekofyear weight_string year yearweek""".split()
)
AGGREGATES = frozenset(
    """any_value avg bit_and bit_or bit_xor count cume_dist dense_rank first_value group_concat json_arrayagg
    json_objectagg lag last_value lead max median min nth_value ntile percent_rank rand rank row_number std stddev
    stddev_pop stddev_samp sum var_pop var_samp variance""".split()
)
WORDS = frozenset(
    """AND OR NOT XOR IS NULL TRUE FALSE UNKNOWN LIKE REGEXP RLIKE IN BETWEEN CASE WHEN THEN ELSE END DIV MOD BINARY
    COLLATE AS CHAR NCHAR CHARSET CHARACTER SET SIGNED UNSIGNED INT INTEGER DECIMAL DATE TIME DATETIME TIMESTAMP DOUBLE
    FLOAT REAL JSON INTERVAL ESCAPE USING FROM FOR BOTH LEADING TRAILING SOUNDS MICROSECOND SECOND MINUTE HOUR DAY WEEK
    MONTH QUARTER YEAR DAY_HOUR DAY_MINUTE DAY_SECOND HOUR_MINUTE HOUR_SECOND MINUTE_SECOND YEAR_MONTH
    CURRENT_TIMESTAMP CURRENT_DATE CURRENT_TIME LOCALTIME LOCALTIMESTAMP""".split()
)
CHARSETS = frozenset(
    """armscii8 ascii big5 binary cp1250 cp1251 cp1256 cp1257 cp850 cp852 cp866 cp932 dec8 eucjpms euckr gb18030 gb2312
    gbk geostd8 greek hebrew hp8 keybcs2 koi8r koi8u latin1 latin2 latin5 latin7 macce macroman sjis swe7 tis620 ucs2
    ujis utf16 utf16le utf32 utf8 utf8mb3 utf8mb4""".split()
)
QUERY_WORDS = WORDS | frozenset(
    """SELECT FROM WHERE GROUP BY HAVING ORDER ASC DESC LIMIT OFFSET JOIN LEFT RIGHT INNER OUTER CROSS NATURAL
    STRAIGHT_JOIN ON DISTINCT ALL UNION EXCEPT INTERSECT WITH RECURSIVE ROLLUP EXISTS ANY SOME OVER PARTITION ROWS RANGE
    UNBOUNDED PRECEDING FOLLOWING CURRENT ROW WINDOW MATCH AGAINST MODE LANGUAGE BOOLEAN QUERY EXPANSION SEPARATOR
    LATERAL FIRST LAST""".split()
)
SIGNS = frozenset("<=> << >> <> != <= >= || && -> ->> - + * / % = < > ! ~ ^ & | ( ) , .".split())

Collation = Callable[[str], str]


def harmless(
    expression: Sequence[Token],
    *,
    columns: Collection[str] | None,
    words: Collection[str] = WORDS,
    functions: Collection[str] = FUNCTIONS,
) -> str | None:
    """None when every token is known; else what is not. `columns`: the only names that may stand there, in lower case;
    None: any."""
    depth = 0
    for number, token in enumerate(expression):
        after = expression[number + 1] if number + 1 < len(expression) else None
        before = expression[number - 1] if number else None
        called = after is not None and after.text == "(" and after.kind is Kind.SIGN
        if token.kind is Kind.NAME:
            if called or (columns is not None and token.text.lower() not in columns):
                return token.text
        elif token.kind is Kind.SIGN:
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            if token.text not in SIGNS or depth < 0:
                return token.text
        elif token.kind is Kind.WORD and not _known_word(token, before, called, words, functions):
            return token.text
    return "(" if depth else None


def _known_word(
    token: Token, before: Token | None, called: bool, words: Collection[str], functions: Collection[str]
) -> bool:
    if before is not None and before.word in {"COLLATE", "CHARSET", "SET", "USING"} and not called:
        return token.text.isascii()  # a name of a collation or character set
    if token.text.startswith("_"):
        return token.text[1:].lower() in CHARSETS
    return token.word in words or (called and token.text.lower() in functions)


def written(expression: Sequence[Token], collation: Collation = str) -> str:
    """Tokens as SQL. `collation` maps the names of collations."""
    parts: list[str] = []
    before: Token | None = None
    for token in expression:
        text = token.sql()
        if before is not None and before.word == "COLLATE" and token.kind is Kind.WORD:
            text = collation(text)
        if before is not None and not _close(before, token):
            parts.append(" ")
        parts.append(text)
        before = token
    return "".join(parts)


def _close(one: Token, other: Token) -> bool:
    """Whether no space stands between two tokens. None may stand between a function and its parenthesis."""
    if other.kind is Kind.SIGN and other.text in {")", ",", "."}:
        return True
    if one.kind is Kind.SIGN and one.text in {"(", "."}:
        return True
    opens = other.kind is Kind.SIGN and other.text == "("
    return opens and one.kind is Kind.WORD and one.text.lower() in FUNCTIONS | AGGREGATES
