#!/usr/bin/python3
"""Every SQL string means what it says, whatever others have created.

What runs as the owner of the tables must never call what somebody else has
made.  The path is pinned around it; this is the second lock.  Each SQL string
of the C code, as the preprocessor leaves it, and the install script are parsed
with PostgreSQL's own grammar.  Refused are

  in C     an operator, a function, a type or a table without its schema, and
           what cannot name the schema of its operator (IN, BETWEEN, LIKE,
           NULLIF, IS DISTINCT FROM, CASE x WHEN, JOIN USING);
  in both  a literal without a type as an argument of a function of ours: it
           would fit an overload of any type.

Functions of the script pin their path, which the suite "sql" checks in the
catalog, so their operators and built-in functions may stand bare.

Prints TAP, first of all about strings that must be refused and others that must
not.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from pglast import ast, parse_sql
from pglast.enums import A_Expr_Kind, CoercionForm
from pglast.parser import scan
from pglast.visitors import Visitor

# Stands for @extschema@, which is no identifier.
SCHEMA = "extschema_of_ours"

SQL = re.compile(r"\s*(SELECT|INSERT\s|UPDATE\s|DELETE\s|WITH|LOCK\s|TRUNCATE|COPY\s|CALL\s)\b|"
                 r"\s*(INSERT INTO|UPDATE|DELETE FROM) \S+ ")
LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
NEXT_LITERAL = re.compile(r"\s*" + LITERAL.pattern)
NAMES_ITS_OPERATOR = (A_Expr_Kind.AEXPR_OP, A_Expr_Kind.AEXPR_OP_ANY, A_Expr_Kind.AEXPR_OP_ALL)

# Relations that are no tables: registered for the statement by the C code.
REGISTERED = {"wa_status_batch"}


class Names(Visitor):
    """The names that a statement gives to what it reads: no tables of anybody's."""

    def __init__(self):
        self.names = set(REGISTERED)

    def visit_CommonTableExpr(self, ancestors, node):
        self.names.add(node.ctename)

    def visit_RangeVar(self, ancestors, node):
        if node.alias is not None:
            self.names.add(node.alias.aliasname)

    def visit_RangeFunction(self, ancestors, node):
        if node.alias is not None:
            self.names.add(node.alias.aliasname)

    def visit_RangeSubselect(self, ancestors, node):
        if node.alias is not None:
            self.names.add(node.alias.aliasname)


class Reader(Visitor):
    """What is wrong with a statement that runs under any path."""

    def __init__(self, names):
        self.names = names
        self.problems = []

    def visit_A_Expr(self, ancestors, node):
        if node.kind not in NAMES_ITS_OPERATOR:
            self.problems.append(f"{A_Expr_Kind(node.kind).name[6:]} cannot name the schema of its operator")
        elif len(node.name) == 1:
            self.problems.append(f"operator {node.name[0].sval} without its schema")

    def visit_SubLink(self, ancestors, node):
        if node.testexpr is not None and (node.operName is None or len(node.operName) == 1):
            self.problems.append("IN or ANY (SELECT ...) without the schema of its operator")

    def visit_CaseExpr(self, ancestors, node):
        if node.arg is not None:
            self.problems.append("CASE x WHEN cannot name the schema of its operator")

    def visit_JoinExpr(self, ancestors, node):
        if node.usingClause or node.isNatural:
            self.problems.append("JOIN USING cannot name the schema of its operator")

    def visit_FuncCall(self, ancestors, node):
        # unnest() of several arrays is syntax, which stands for the functions of pg_catalog.
        if node.funcname[0].sval == "unnest" and len(node.args) > 1:
            return
        if len(node.funcname) == 1 and node.funcformat != CoercionForm.COERCE_SQL_SYNTAX:
            self.problems.append(f"function {node.funcname[0].sval} without its schema")

    def visit_TypeName(self, ancestors, node):
        if node.names and len(node.names) == 1:
            self.problems.append(f"type {node.names[0].sval} without its schema")

    def visit_RangeVar(self, ancestors, node):
        if node.schemaname is None and node.relname not in self.names:
            self.problems.append(f"table {node.relname} without its schema")


def untyped_arguments(sql):
    """Bare literals given to functions of ours, found by tokens.

    The bodies of functions are strings to the scanner; they are read in turn, and
    PL/pgSQL has the tokens of SQL.
    """
    tokens = [(token.name, sql[token.start:token.end + 1]) for token in scan(sql)]
    calls = []  # whose parentheses are open: a function of ours, or None
    for at, (kind, text) in enumerate(tokens):
        before = tokens[at - 1][1] if at > 0 else ""
        after = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        if kind == "SCONST" and text.startswith("$"):
            yield from untyped_arguments(re.sub(r"^(\$\w*\$)(.*)\1$", r"\2", text, flags=re.S))
        elif text == "(":
            is_ours = at >= 3 and tokens[at - 2][1] == "." and tokens[at - 3][1] == SCHEMA
            if at >= 4 and tokens[at - 4][1] == "FUNCTION":
                is_ours = False  # a declaration, or arguments of a trigger, which are always text
            calls.append(before if is_ours else None)
        elif text == ")" and calls:
            calls.pop()
        elif (kind in ("SCONST", "NULL_P") and calls and calls[-1] is not None and
              before in ("(", ",", "=>", ":=") and after in (")", ",")):
            yield f"argument {text} of {calls[-1]} without a type"


def problems_of(sql):
    """Of a string of the C code."""
    sql = sql.replace("@extschema@", SCHEMA)
    try:
        statements = parse_sql(sql)
    except Exception as error:  # the parser has several classes of them
        # What printf() completes is dynamic SQL: names and expressions of others.
        return [] if "%s" in sql else [f"cannot be parsed: {error}"]
    problems = list(untyped_arguments(sql))
    for statement in statements:
        names = Names()
        names(statement)
        reader = Reader(names.names)
        reader(statement)
        problems += reader.problems
    return problems


# ---- where the strings are -------------------------------------------------------


def unescape(text):
    return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), text)


def strings_of(path, flags):
    """The SQL strings of a C file, adjacent literals joined."""
    text = subprocess.run(["cc", "-E", *flags, path], stdout=subprocess.PIPE, check=True, text=True).stdout
    is_ours, lines = False, []
    for line in text.split("\n"):
        mark = re.match(r'# \d+ "([^"]*)"', line)
        if mark:
            is_ours = mark[1].endswith(str(path))
        elif is_ours:
            lines.append(line)
    text, position = "\n".join(lines), 0
    while match := LITERAL.search(text, position):
        whole = match[1]
        position = match.end()
        while follow := NEXT_LITERAL.match(text, position):
            whole += follow[1]
            position = follow.end()
        whole = unescape(whole)
        if SQL.match(whole) and " " in whole.strip():
            yield whole


def check(name, problems):
    check.count += 1
    print(f"{'not ok' if problems else 'ok'} {check.count} - {name}")
    for problem in problems:
        print(f"#   {problem}")
    check.failed += bool(problems)


check.count = check.failed = 0

REFUSED = (
    ("SELECT 1 FROM @extschema@.whatsapp_queue q WHERE q.message_id = $1", "operator ="),
    ("SELECT 1 FROM @extschema@.whatsapp_queue q WHERE q.state IN ('r', 'd')", "IN cannot"),
    ("SELECT now()", "function now"),
    ("SELECT $1::text", "type text"),
    ("SELECT 1 FROM whatsapp_queue", "table whatsapp_queue"),
    ("SELECT @extschema@.wa_internal_alert('warning', $1)", "argument 'warning'"),
    ("SELECT NULLIF($1, 0)", "NULLIF cannot"),
)
ACCEPTED = (
    "WITH a AS (SELECT 1 AS x) SELECT a.x OPERATOR(pg_catalog.+) 1 FROM a",
    "SELECT @extschema@.wa_internal_alert('warning'::pg_catalog.text, $1)",
    "SELECT COALESCE(pg_catalog.max(q.rank), 0) FROM @extschema@.whatsapp_queue q",
)


def main():
    for sql, wanted in REFUSED:
        found = problems_of(sql)
        check(f"is refused: {sql}", [] if any(p.startswith(wanted) for p in found) else found or ["nothing"])
    for sql in ACCEPTED:
        check(f"is accepted: {sql}", problems_of(sql))

    include = subprocess.run([os.environ["PG_CONFIG"], "--includedir-server"], stdout=subprocess.PIPE,
                             check=True, text=True).stdout.strip()
    strings = 0
    for path in sorted(path for path in Path("src").rglob("*.c") if "bin" not in path.parts):
        problems = []
        for sql in strings_of(path, ["-Isrc", f"-I{include}", "-D_GNU_SOURCE"]):
            strings += 1
            problems += [f"{problem}: {' '.join(sql.split())[:100]}" for problem in problems_of(sql)]
        check(str(path), problems)
    check("the strings have been found", [] if strings > 100 else [f"only {strings}"])

    for path in sorted(Path("sql").glob("[0-9][0-9]-*.sql")):
        script = re.sub(r"^\\.*$", "", path.read_text(), flags=re.M).replace("@extschema@", SCHEMA)
        check(str(path), list(untyped_arguments(script)))
    print(f"1..{check.count}")
    return 1 if check.failed else 0


sys.exit(main())
