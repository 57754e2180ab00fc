"""Ways around what somebody may see, each tried. By kind: what becomes of it.

`refused`: it is refused before anything is read. `failed`: the engine could not carry it out, and says no more than the
name of its error. `answered`: there is an answer, with masks, and without rows that the filter takes away.

`clients` has rows that the row filter hides, a column `ssn` that is refused, and masked ones: `mail`, `pin`, `notes`,
`phone`. `vault` is for nobody. `paid` is sorted by its masked column.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

SOURCE = {
    "aliases": """
answered SELECT mail AS m FROM clients ORDER BY id
answered SELECT c.mail FROM clients AS c WHERE c.mail != '' ORDER BY id
answered SELECT id AS mail, mail AS id FROM clients ORDER BY 1
answered SELECT name AS region FROM clients WHERE region != 'EU'
answered SELECT 'EU' AS region, name FROM clients ORDER BY name
answered WITH 'EU' AS region SELECT count() FROM clients
answered WITH 1 AS age SELECT max(age) FROM clients
answered SELECT mail AS x, x AS y, y FROM clients ORDER BY id
failed SELECT ssn AS mail FROM clients
answered SELECT id FROM clients AS mail ORDER BY mail.id
failed SELECT clients.mail FROM clients AS c
answered SELECT c.* FROM clients AS c ORDER BY c.id
answered SELECT max(`mail`) AS `the mail` FROM clients
answered SELECT max("mail") FROM "clients"
answered SELECT MAX(mail) FROM clients
failed SELECT MAIL FROM clients
refused SELECT * FROM Clients
""",
    "columns that are refused": """
failed SELECT ssn FROM clients
failed SELECT id FROM clients WHERE ssn = 'CANARY-001'
failed SELECT count() FROM clients GROUP BY ssn
failed SELECT id FROM clients ORDER BY ssn
failed SELECT count() FROM clients HAVING max(ssn) > 'C'
failed SELECT c.id FROM clients AS c INNER JOIN clients AS d ON c.ssn = d.ssn
failed SELECT clients.ssn FROM clients
failed SELECT `ssn` FROM clients
failed SELECT (SELECT max(ssn) FROM clients)
failed SELECT id, row_number() OVER (ORDER BY ssn) FROM clients
failed SELECT id FROM clients LIMIT 1 BY ssn
answered SELECT * EXCEPT (ssn) FROM clients ORDER BY id
failed SELECT * REPLACE (ssn AS id) FROM clients
failed SELECT id FROM clients QUALIFY max(ssn) OVER () > 'A'
refused SELECT _rk_hash FROM clients
refused SELECT _rk_row FROM clients
refused SELECT c._rk_run FROM clients AS c
refused SELECT `_rk_hash` FROM clients
refused SELECT _RK_HASH FROM clients
""",
    "conditions on masked columns": """
answered SELECT count() FROM clients WHERE mail = 'CANARY_1@example.org'
answered SELECT count() FROM clients WHERE mail LIKE 'CANARY%'
answered SELECT count() FROM clients WHERE NOT (mail LIKE 'CANARY%')
answered SELECT count() FROM clients WHERE startsWith(mail, 'C') OR pin > 0
answered SELECT count() FROM clients WHERE pin BETWEEN 70000 AND 80000
answered SELECT count() FROM clients WHERE mail IS NULL
answered SELECT count() FROM clients WHERE mail IN ('CANARY_1@example.org', 'CANARY_2@example.org')
answered SELECT count() FROM clients WHERE (id, mail) IN ((1, 'CANARY_1@example.org'))
answered SELECT count() FROM clients WHERE has(notes, 'CANARY_note_1')
answered SELECT count() FROM clients WHERE length(notes) > 0
answered SELECT count() FROM clients WHERE notEmpty(notes)
answered SELECT countIf(mail LIKE 'C%'), sumIf(1, pin > 1) FROM clients
answered SELECT id FROM clients WHERE pin = (SELECT max(pin) FROM clients)
answered SELECT id FROM clients ORDER BY pin, id
answered SELECT id FROM clients ORDER BY mail DESC, id LIMIT 3
answered SELECT pin, count() FROM clients GROUP BY pin
answered SELECT mail, count() FROM clients GROUP BY mail HAVING count() > 1
answered SELECT count(DISTINCT mail), uniq(pin), uniqExact(phone) FROM clients
answered SELECT min(pin), max(pin), sum(pin), avg(pin), any(mail) FROM clients
answered SELECT argMax(id, pin), argMin(name, mail) FROM clients
answered SELECT id, row_number() OVER (ORDER BY pin, id) FROM clients ORDER BY id
answered SELECT id, lagInFrame(mail) OVER (ORDER BY id) FROM clients ORDER BY id
answered SELECT c.id, d.id FROM clients AS c INNER JOIN clients AS d ON c.mail = d.mail
answered SELECT c.id FROM clients AS c INNER JOIN people AS p ON c.pin = p.salary
answered SELECT c.id FROM clients AS c LEFT JOIN people AS p ON c.pin > p.salary AND c.id = p.id ORDER BY c.id
answered SELECT id FROM clients WHERE mail IN (SELECT name FROM people)
answered SELECT id FROM clients LIMIT 1 BY mail
answered SELECT DISTINCT mail FROM clients
answered SELECT quantile(0.5)(pin), topK(3)(mail), entropy(pin) FROM clients
answered SELECT corr(pin, id), groupArray(mail), groupUniqArray(pin) FROM clients
answered SELECT id FROM clients WHERE if(pin > 5, 1, 0) ORDER BY id
answered SELECT multiIf(pin = 70719, 'a', pin = 70723, 'b', 'c') FROM clients ORDER BY id
answered SELECT cityHash64(mail), sipHash64(pin), MD5(mail) FROM clients ORDER BY id
answered SELECT substring(mail, 1, 1), length(mail), reverse(mail) FROM clients ORDER BY id
answered SELECT toString(pin), hex(mail), base64Encode(mail) FROM clients ORDER BY id
answered SELECT tuple(mail, pin), [mail], map('a', pin) FROM clients ORDER BY id
answered SELECT coalesce(mail, 'none'), ifNull(pin, 0) FROM clients ORDER BY id
answered SELECT CASE WHEN mail LIKE 'CANARY%' THEN 1 ELSE 0 END FROM clients ORDER BY id
failed SELECT assumeNotNull(mail) AS m, m.1 FROM clients
answered SELECT assumeNotNull(mail) FROM clients ORDER BY id
""",
    "rows that are filtered out": """
answered SELECT count() FROM clients
answered SELECT name FROM clients WHERE id % 3 = 0
answered SELECT * FROM clients WHERE region != 'EU'
answered SELECT * FROM clients WHERE 1 OR region = 'x' ORDER BY id
answered SELECT DISTINCT region FROM clients
answered SELECT max(age), min(id) FROM clients
answered SELECT count() FROM clients WHERE intDiv(1, age - 70719) = 5
answered SELECT count() FROM clients WHERE intDiv(1, age - 70723) = 5
answered SELECT sum(intDiv(1, age - 70719)) FROM clients
answered SELECT countIf(intDiv(100, age - 70719) > 0), countIf(intDiv(100, age - 70723) > 0) FROM clients
answered SELECT count() FROM clients WHERE age > 1000 AND intDiv(1, 0 * age) = 1
answered SELECT count() FROM clients WHERE name LIKE 'CANARY%' AND toUInt32(name) = 1
answered SELECT count() FROM clients WHERE city = 'CANARY_CITY'
answered SELECT count() FROM (SELECT city FROM clients GROUP BY city)
answered SELECT city FROM clients GROUP BY city ORDER BY city
answered SELECT uniqExact(city), uniqExact(name), uniqExact(region) FROM clients
answered SELECT c.name FROM clients AS c RIGHT JOIN people AS p ON c.id = p.id ORDER BY p.id
answered SELECT c.name FROM clients AS c FULL JOIN orders AS o ON c.id = o.id ORDER BY o.id, c.id
answered SELECT p.id FROM people AS p LEFT ANTI JOIN clients AS c ON p.id = c.id ORDER BY p.id
answered SELECT id FROM people WHERE id NOT IN (SELECT id FROM clients) ORDER BY id
answered SELECT groupArray(name) FROM (SELECT name FROM clients ORDER BY id)
answered SELECT sum(age) OVER () FROM clients LIMIT 1
answered SELECT id, age FROM clients ORDER BY age DESC LIMIT 1
answered SELECT count() FROM clients GROUP BY city WITH TOTALS ORDER BY count()
answered SELECT toStartOfInterval(toDateTime(age), INTERVAL 1 HOUR), count() FROM clients GROUP BY 1
answered SELECT id FROM clients WHERE EXISTS (SELECT 1 FROM clients WHERE region != 'EU')
answered SELECT transform(age, [70719], [1], 0) FROM clients ORDER BY id
answered SELECT count() FROM clients WHERE intDiv(1, length(city) - 11) = 7
answered SELECT count() FROM clients WHERE intDiv(1, length(name) - 12) = 7
failed SELECT count() FROM clients WHERE toInt64OrNull(city) = 9 OR toInt64(substring(city, 5)) = 1
""",
    "CTEs and subqueries": """
answered WITH c AS (SELECT * FROM clients) SELECT * FROM c ORDER BY id
failed WITH c AS (SELECT ssn FROM clients) SELECT * FROM c
refused WITH clients AS (SELECT 1 AS id) SELECT * FROM clients
refused WITH vault AS (SELECT 1 AS id) SELECT * FROM vault
refused WITH people AS (SELECT * FROM vault) SELECT * FROM people
refused WITH one AS (SELECT 1) SELECT * FROM one
refused WITH tables AS (SELECT 1) SELECT * FROM tables
refused WITH c AS (SELECT word FROM vault) SELECT 1
refused SELECT * FROM (SELECT * FROM vault)
refused SELECT (SELECT word FROM vault)
refused SELECT 1 WHERE EXISTS (SELECT * FROM vault)
refused SELECT 1 WHERE 'x' IN (SELECT word FROM vault)
refused SELECT * FROM people WHERE id = (SELECT id FROM vault)
refused WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 9) SELECT * FROM r
refused SELECT * FROM (WITH x AS (SELECT 1) SELECT * FROM x), x
refused WITH a AS (SELECT * FROM b), b AS (SELECT * FROM vault) SELECT * FROM a
answered WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a
refused WITH 1 AS vault_word SELECT * FROM vault_word
refused WITH (SELECT max(word) FROM vault) AS w SELECT w
answered WITH (SELECT max(mail) FROM clients) AS w SELECT w
answered WITH (SELECT groupArray(mail) FROM clients) AS w SELECT w
answered SELECT * FROM (SELECT * FROM (SELECT * FROM clients)) ORDER BY id
failed SELECT x.ssn FROM (SELECT * FROM clients) AS x
answered SELECT * FROM (SELECT mail FROM clients) AS vault ORDER BY 1
""",
    "unions": """
refused SELECT id FROM people UNION ALL SELECT id FROM vault
refused SELECT word FROM vault UNION DISTINCT SELECT 'x'
refused (SELECT 1) UNION ALL (SELECT id FROM vault)
refused SELECT 1 INTERSECT SELECT id FROM vault
refused SELECT 1 EXCEPT SELECT id FROM vault
answered SELECT mail FROM clients UNION ALL SELECT name FROM clients ORDER BY 1
answered SELECT mail FROM clients INTERSECT SELECT name FROM people
answered SELECT name FROM clients EXCEPT SELECT mail FROM clients ORDER BY 1
failed SELECT id FROM people UNION ALL SELECT ssn FROM clients
refused SELECT * FROM people EXCEPT (SELECT * FROM (SELECT * FROM vault))
""",
    "stars": """
answered SELECT * FROM clients ORDER BY id
answered SELECT clients.* FROM clients ORDER BY id
answered SELECT *, * FROM clients ORDER BY id
answered SELECT count(*) FROM clients
answered SELECT * EXCEPT (name, city) FROM clients ORDER BY id
answered SELECT * REPLACE (mail AS name) FROM clients ORDER BY id
answered SELECT * REPLACE (1 AS mail) FROM clients ORDER BY id
answered SELECT * EXCEPT ('name') FROM clients ORDER BY id
refused SELECT * APPLY (toString) FROM clients
refused SELECT * APPLY (x -> hex(x)) FROM clients
refused SELECT * APPLY (sum) FROM clients
refused SELECT COLUMNS('.*') FROM clients
refused SELECT COLUMNS('ssn') FROM clients
refused SELECT COLUMNS(ssn) FROM clients
refused SELECT clients.COLUMNS('s') FROM clients
refused SELECT COLUMNS('m') APPLY (max) FROM clients
refused SELECT COLUMNS('.*') EXCEPT (id) FROM clients
answered SELECT tuple(*) FROM clients ORDER BY id
answered SELECT toString(tuple(*)) FROM clients ORDER BY id
answered SELECT cityHash64(*) FROM clients ORDER BY id
refused SELECT formatRow('JSONEachRow', *) FROM clients
answered SELECT * FROM clients AS a CROSS JOIN clients AS b ORDER BY a.id, b.id LIMIT 3
""",
    "tables of the system": """
refused SELECT * FROM system.tables
refused SELECT * FROM system.columns
refused SELECT * FROM system.query_log
refused SELECT * FROM system.processes
refused SELECT * FROM system.parts_columns
refused SELECT * FROM system.settings
refused SELECT * FROM system.one
refused SELECT * FROM system.numbers LIMIT 5
refused SELECT * FROM `system`.`tables`
refused SELECT * FROM information_schema.tables
refused SELECT * FROM INFORMATION_SCHEMA.COLUMNS
refused SELECT * FROM default.vault
refused SELECT * FROM `default`.`vault`
refused SELECT * FROM `default.vault`
refused SELECT * FROM clients__rk_undo_1
refused SELECT * FROM `.inner.clients`
refused SELECT * FROM default.default.clients
refused SELECT * FROM people, vault
refused SELECT * FROM people AS p INNER JOIN vault AS v ON p.id = v.id
refused SELECT * FROM people GLOBAL INNER JOIN vault USING (id)
refused SELECT * FROM people PASTE JOIN vault
refused SELECT * FROM people LEFT SEMI JOIN vault USING id
""",
    "table functions": """
refused SELECT * FROM numbers(5)
refused SELECT * FROM merge('default', '.*')
refused SELECT * FROM merge('.*')
refused SELECT * FROM loop(vault)
refused SELECT * FROM loop(default.clients)
refused SELECT * FROM loop(clients) LIMIT 5
refused SELECT * FROM view(SELECT * FROM vault)
refused SELECT * FROM viewIfPermitted(SELECT * FROM vault ELSE null('x String'))
refused SELECT * FROM viewExplain('EXPLAIN', '', (SELECT * FROM vault))
refused SELECT * FROM file('/etc/passwd', 'LineAsString')
refused SELECT * FROM url('http://127.0.0.1/', 'LineAsString')
refused SELECT * FROM remote('127.0.0.1', default.vault)
refused SELECT * FROM remoteSecure('127.0.0.1', default, vault)
refused SELECT * FROM cluster('default', default.vault)
refused SELECT * FROM s3('http://127.0.0.1/x', 'CSV')
refused SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')
refused SELECT * FROM postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')
refused SELECT * FROM sqlite('/tmp/x', 'y')
refused SELECT * FROM input('x String')
refused SELECT * FROM executable('x', 'TSV', 'y String')
refused SELECT * FROM generateRandom('x String')
refused SELECT * FROM generate_series(1, 5)
refused SELECT * FROM values('x String', 'a')
refused SELECT * FROM mergeTreeIndex(default, clients)
refused SELECT * FROM mergeTreeProjection(default, clients, x)
refused SELECT * FROM dictionary('d')
refused SELECT * FROM Python(x)
refused SELECT * FROM format(CSV, '1,2')
refused SELECT * FROM null('x String')
refused SELECT * FROM zeros(10)
refused SELECT * FROM fuzzQuery('SELECT 1')
refused SELECT * FROM timeSeriesData(x)
refused SELECT * FROM (SELECT * FROM numbers(5))
""",
    "functions that reach further": """
refused SELECT file('/etc/passwd')
refused SELECT arrayMap(file, ['/etc/passwd'])
refused SELECT arrayMap(hostName, [1])
refused SELECT arrayMap(sleep, [1])
failed SELECT toString(hostName)
refused WITH x -> file(x) AS f SELECT f('/etc/passwd')
refused WITH hostName AS f SELECT f()
failed SELECT arrayReduce('sum', hostName)
failed SELECT arrayZip([1], sleep)
refused SELECT arrayFold(throwIf, [1], 1)
refused SELECT dictGet('d', 'a', 1)
refused SELECT dictGetOrDefault('d', 'a', 1, 'x')
refused SELECT dictHas('d', 1)
refused SELECT joinGet('j', 'v', 1)
refused SELECT joinGetOrNull('default.j', 'v', 1)
refused SELECT getSetting('max_threads')
refused SELECT getServerSetting('max_server_memory_usage')
refused SELECT currentUser()
refused SELECT user()
refused SELECT current_user
refused SELECT currentDatabase()
refused SELECT hostName()
refused SELECT fqdn()
refused SELECT version()
refused SELECT uptime()
refused SELECT serverUUID()
refused SELECT queryID()
refused SELECT getMacro('shard')
refused SELECT hasColumnInTable('default', 'vault', 'word')
refused SELECT evalMLMethod(1, 2)
refused SELECT catboostEvaluate('/x', 1)
refused SELECT sleep(1)
refused SELECT sleepEachRow(0.1) FROM clients
refused SELECT if(mail LIKE 'C%', sleep(1), 0) FROM clients
refused SELECT throwIf(mail LIKE 'C%') FROM clients
refused SELECT throwIf(age > 1000, name) FROM clients
refused SELECT aggThrow(0.5)(id) FROM clients
refused SELECT lowCardinalityKeys(city) FROM clients
refused SELECT lowCardinalityIndices(city) FROM clients
refused SELECT blockNumber(), rowNumberInBlock(), rowNumberInAllBlocks() FROM clients
refused SELECT blockSize() FROM clients
refused SELECT byteSize(mail) FROM clients
refused SELECT dumpColumnStructure(mail) FROM clients
refused SELECT getSubcolumn(notes, 'size0') FROM clients
refused SELECT partitionId(id) FROM clients
refused SELECT indexHint(ssn = 'x') FROM clients
refused SELECT count() FROM clients WHERE indexHint(id = 3)
refused SELECT formatQuery('SELECT 1')
refused SELECT initializeAggregation('sum', 1)
refused SELECT finalizeAggregation(x) FROM (SELECT sumState(id) AS x FROM clients)
refused SELECT sumMerge(x) FROM (SELECT sumState(pin) AS x FROM clients)
refused SELECT runningAccumulate(x) FROM clients
refused SELECT neighbor(name, 1) FROM clients
refused SELECT encrypt('aes-256-ecb', mail, 'k') FROM clients
refused SELECT addressToLine(1)
refused SELECT demangle('x')
refused SELECT showCertificate()
refused SELECT filesystemAvailable()
refused SELECT aiGenerate('x')
refused SELECT __getScalar('x')
refused SELECT _CAST(1, 'String')
refused SELECT no_such_function(1)
refused SELECT `file`('/etc/passwd')
refused SELECT eval('SELECT 1')
refused SELECT url('http://x')
refused SELECT arrayReduce('sumState', [1])
refused SELECT arrayReduce(name, [1]) FROM clients
refused SELECT arrayReduce('aggThrow(0.5)', [1])
refused SELECT transactionID()
refused SELECT connectionId()
refused SELECT getClientHTTPHeader('x')
refused SELECT logTrace('x')
refused SELECT tcpPort()
refused SELECT globalVariable('x')
refused SELECT nonexistentIf(1, 2)
""",
    "IN with a table": """
refused SELECT 1 IN vault
refused SELECT 'CANARY_VAULT' IN (vault)
refused SELECT 1 IN default.vault
refused SELECT (1, 'CANARY_VAULT') IN vault
refused SELECT in(1, vault)
refused SELECT notIn((1, 'x'), vault)
refused SELECT globalIn(1, vault)
refused SELECT 1 GLOBAL IN vault
refused SELECT 1 NOT IN vault
refused SELECT 1 IN ((vault))
refused SELECT id FROM people WHERE id IN clients
refused SELECT nullIn(1, vault)
refused SELECT count() FROM people WHERE (id, name) NOT IN (default.vault)
refused SELECT countIf(1 IN vault) FROM people
refused SELECT arrayFilter(x -> x IN vault, [1])
""",
    "clauses": """
refused SELECT * FROM clients PREWHERE mail LIKE 'C%'
refused SELECT * FROM clients PREWHERE region != 'EU'
refused SELECT * FROM clients FINAL
refused SELECT * FROM clients SAMPLE 0.5
refused SELECT * FROM clients AS c SAMPLE 1 / 10
refused SELECT * FROM clients SETTINGS max_threads = 1
refused SELECT * FROM clients SETTINGS additional_table_filters = {'clients': 'ssn = 1'}
refused SELECT * FROM people SETTINGS additional_result_filter = '1'
refused SELECT * FROM (SELECT * FROM clients SETTINGS prefer_column_name_to_alias = 1)
refused SELECT 1 SETTINGS readonly = 0
refused SELECT * FROM clients SETTINGS enable_analyzer = 0
refused SELECT * FROM clients SETTINGS log_comment = 'x'
refused SELECT * FROM clients FORMAT JSON
refused SELECT * FROM clients FORMAT Null
refused SELECT * FROM clients INTO OUTFILE '/tmp/x'
refused SELECT * FROM clients INTO OUTFILE '/tmp/x' TRUNCATE FORMAT CSV
refused SELECT id FROM clients LIMIT 1 WITH TIES
refused SELECT id FROM people ORDER BY id WITH FILL INTERPOLATE (id AS ssn)
refused SELECT id FROM people UNION ALL SELECT 1 SETTINGS max_threads = 1
refused SELECT id FROM people UNION ALL SELECT 1 FORMAT CSV
""",
    "statements": """
refused SELECT 1; SELECT 2
refused SELECT 1; DROP TABLE clients
refused SELECT 1;; SELECT word FROM vault
refused DROP TABLE clients
refused INSERT INTO clients SELECT * FROM clients
refused CREATE VIEW v AS SELECT * FROM vault
refused CREATE TEMPORARY TABLE t AS SELECT * FROM vault
refused ALTER TABLE clients DELETE WHERE 1
refused SET readonly = 0
refused USE system
refused EXPLAIN SELECT * FROM clients
refused EXPLAIN ESTIMATE SELECT * FROM vault
refused EXPLAIN indexes = 1 SELECT * FROM clients WHERE ssn = 'x'
refused EXPLAIN QUERY TREE SELECT * FROM clients
refused SELECT * FROM (EXPLAIN SELECT * FROM vault)
refused DESCRIBE clients
refused DESCRIBE TABLE (SELECT * FROM vault)
refused SHOW TABLES
refused SHOW CREATE TABLE clients
refused SHOW COLUMNS FROM clients
refused SHOW SETTINGS LIKE '%'
refused SHOW PROCESSLIST
refused EXISTS TABLE vault
refused EXISTS vault
refused CHECK TABLE vault
refused KILL QUERY WHERE 1
refused SYSTEM FLUSH LOGS
refused OPTIMIZE TABLE clients
refused TRUNCATE TABLE clients
refused BACKUP TABLE clients TO File('x')
refused ATTACH TABLE clients
refused GRANT ALL ON *.* TO ann
failed WATCH clients
refused FROM vault SELECT word
refused VALUES (1)
failed TABLE vault
refused BEGIN TRANSACTION
""",
    "parameters": """
refused SELECT {x:String}
refused SELECT * FROM {t:Identifier}
refused SELECT * FROM clients WHERE id = {id:UInt8}
refused SELECT @@version
refused SELECT ?
refused SELECT $1
refused SELECT %(x)s
""",
    "columns within columns": """
refused SELECT mail.null FROM clients ORDER BY id
refused SELECT notes.size0 FROM clients ORDER BY id
failed SELECT ssn.null FROM clients
failed SELECT _part FROM clients
failed SELECT _part, _partition_id FROM clients
failed SELECT _row_exists FROM clients
failed SELECT _part_offset FROM clients
failed SELECT _sample_factor FROM clients
failed SELECT _table FROM clients
failed SELECT _block_number FROM clients
failed SELECT _path, _file FROM clients
failed SELECT clients._part FROM clients
refused SELECT default.clients.mail FROM clients
refused SELECT clients.mail.x FROM (SELECT 1) AS clients
failed SELECT tupleElement(mail, 'null') FROM clients
refused SELECT mail.:String FROM clients
refused SELECT mail.^x FROM clients
refused SELECT JSONExtract(mail, 'AggregateFunction(sum, UInt8)') FROM clients
""",
    "arrays and lambdas": """
answered SELECT id, note FROM clients ARRAY JOIN notes AS note
answered SELECT id, note FROM clients LEFT ARRAY JOIN notes AS note ORDER BY id
answered SELECT id, n FROM clients LEFT ARRAY JOIN arrayEnumerate(notes) AS n ORDER BY id
failed SELECT id FROM clients ARRAY JOIN [ssn] AS x
failed SELECT id FROM clients ARRAY JOIN vault
answered SELECT arrayJoin(notes) FROM clients
answered SELECT arrayMap(x -> concat(x, mail), ['a']) FROM clients ORDER BY id
answered SELECT arrayMap(mail -> mail, [name]) FROM clients ORDER BY id
answered SELECT arrayMap(region -> (SELECT count() FROM clients), ['XX'])
answered SELECT arrayFilter(x -> x LIKE 'C%', notes) FROM clients ORDER BY id
failed SELECT arrayMap(x -> ssn, [1]) FROM clients
answered SELECT arraySort(x -> -x, groupArray(pin)) FROM clients
answered SELECT arrayExists(x -> x = 'CANARY_1@example.org', groupArray(mail)) FROM clients
answered SELECT arrayFold((a, x) -> a + length(x), notes, toUInt64(0)) FROM clients ORDER BY id
refused SELECT arrayMap(x -> file(x), ['/etc/passwd'])
refused SELECT arrayMap(x -> dictGet('d', 'a', x), [1])
refused SELECT arrayMap(x -> (SELECT word FROM vault), [1])
answered SELECT arrayStringConcat(groupArray(coalesce(mail, '-')), ',') FROM clients
""",
    "casts, and errors that tell": """
answered SELECT CAST(mail AS Nullable(UInt32)) FROM clients ORDER BY id
failed SELECT CAST(mail AS UInt32) FROM clients
answered SELECT toUInt32(mail) FROM clients ORDER BY id
answered SELECT mail::Nullable(Date) FROM clients ORDER BY id
failed SELECT toUInt32(name) FROM clients
failed SELECT CAST(name AS UInt32) FROM clients
failed SELECT CAST(name, 'Enum8(\\'a\\' = 1)') FROM clients
failed SELECT toDate(name) FROM clients
failed SELECT parseDateTime(name, '%Y') FROM clients
failed SELECT accurateCast(age, 'Int8') / 0, toUUID(name) FROM clients
answered SELECT accurateCastOrNull(mail, 'UInt8') FROM clients ORDER BY id
failed SELECT toFixedString(name, 1) FROM clients
failed SELECT toDecimal32(name, 2) FROM clients
answered SELECT JSONExtractString(mail, 'a') FROM clients ORDER BY id
failed SELECT intDiv(1, 0) FROM clients
answered SELECT intDiv(1, pin) FROM clients ORDER BY id
answered SELECT 1 % pin, 1 / pin FROM clients ORDER BY id
failed SELECT arrayElement(notes, 'x') FROM clients
failed SELECT extract(name, '(') FROM clients
answered SELECT repeat(mail, 3) FROM clients ORDER BY id
refused SELECT CAST(mail AS AggregateFunction(sum, UInt8)) FROM clients
refused SELECT unhex('00')::AggregateFunction(groupArray, String)
refused SELECT CAST(mail, name) FROM clients
refused SELECT CAST('{}' AS JSON)
refused SELECT accurateCast('{}', 'Dynamic')
failed SELECT id + name FROM clients
failed SELECT sum(name) FROM clients
failed SELECT mail FROM clients GROUP BY id
failed SELECT nothing_of_this_name FROM clients
failed SELECT formatDateTime(name, '%Y') FROM clients
""",
    "names and comments": """
answered SELECT /* ssn */ id FROM clients -- , ssn
refused SELECT id FROM `clients\\``
refused SELECT id AS `a\\`b` FROM clients
refused SELECT id AS `a.b` FROM clients
refused SELECT id AS "a\\"b" FROM clients
refused SELECT id AS `x'y` FROM clients
refused SELECT id AS `x\\ny` FROM clients
refused SELECT id AS `__table1` FROM clients
refused SELECT id AS `` FROM clients
refused SELECT id FROM clients AS _rk_x
refused SELECT id FROM clients AS `c;--`
answered SELECT id AS `naïve` FROM clients ORDER BY id
answered SELECT id AS `имя` FROM clients ORDER BY id
failed SELECT `ѕsn` FROM clients
refused SELECT * FROM `сlients`
refused SELECT * FROM `clients `
answered SELECT '/*' AS a, id, '*/' AS b FROM clients ORDER BY id
answered SELECT 'ssn FROM vault --' FROM clients
answered SELECT 'it''s; DROP TABLE clients' FROM clients
answered SELECT '\\'; SELECT word FROM vault; --' FROM clients
answered SELECT 'a\\\\' AS x, 'b' AS y FROM clients
answered SELECT $$ssn FROM vault$$ FROM clients
answered SELECT $x$ 'ssn' $x$ FROM clients
refused SELECT # FROM vault
refused SELECT 1 #> FROM vault
answered SELECT 0x1F, 1e3, .5, 1_000
answered SELECT 'COLUMN id: 1, column_name: x, result_type: String, source_id: 3' AS a FROM clients
answered SELECT '\\n  TABLE id: 3, table_name: default.vault' AS a FROM clients
""",
    "order in which rows lie": """
answered SELECT pay FROM paid
answered SELECT count(), max(pay) FROM paid
answered SELECT id, row_number() OVER (ORDER BY pay) > 0 FROM paid ORDER BY id
answered SELECT id FROM paid WHERE pay > 100 ORDER BY id
answered SELECT argMax(id, pay) FROM paid
failed SELECT _part_offset FROM paid
refused SELECT id FROM paid FINAL
""",
    "memory": """
failed SELECT groupArray(repeat('x', 1000000)) FROM people AS a CROSS JOIN people AS b CROSS JOIN people AS c
failed SELECT length(range(1000000000))
failed SELECT length(arrayWithConstant(1000000000, 'aaaaaaaaaaaaaaaaa'))
failed SELECT length(repeat('x', 100000000000))
""",
}


@dataclasses.dataclass(frozen=True)
class Case:
    kind: str
    becomes: str
    sql: str

    def __str__(self) -> str:
        return self.sql


def cases() -> Iterator[Case]:
    """Every one of them."""
    for kind, text in SOURCE.items():
        for line in text.strip().splitlines():
            becomes, _, sql = line.partition(" ")
            yield Case(kind, becomes, sql)
