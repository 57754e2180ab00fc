"""What analysts ask, every day. Each query orders its rows, so that two answers can be compared."""

ORDINARY = tuple(
    query.strip()
    for query in """
SELECT * FROM people ORDER BY id
SELECT count() FROM people
SELECT id, city FROM people WHERE age > 30 AND city IN ('Oslo', 'Lima') ORDER BY id DESC LIMIT 5
SELECT p.id, o.amount FROM people AS p INNER JOIN orders AS o ON o.person = p.id ORDER BY p.id, o.id
SELECT city, count() AS n, avg(salary) AS mean FROM people GROUP BY city HAVING n > 1 ORDER BY n DESC, city
SELECT city, count(DISTINCT age), uniqExact(city) FROM people GROUP BY city ORDER BY city
WITH rich AS (SELECT * FROM people WHERE salary > 5000) SELECT count(), max(age) FROM rich
WITH a AS (SELECT id, city FROM people), b AS (SELECT city, count() FROM a GROUP BY city) SELECT * FROM b ORDER BY 1
WITH (SELECT max(salary) FROM people) AS top SELECT id, salary / top FROM people ORDER BY id
WITH 30 AS old SELECT count() FROM people WHERE age > old
SELECT id, row_number() OVER (PARTITION BY city ORDER BY salary DESC, id) AS place FROM people ORDER BY id
SELECT id, sum(amount) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS running FROM orders ORDER BY id
SELECT id, lagInFrame(amount, 1) OVER (PARTITION BY person ORDER BY id) AS before FROM orders ORDER BY id
SELECT id, rank() OVER w, dense_rank() OVER w FROM people WINDOW w AS (ORDER BY age) ORDER BY id
SELECT toStartOfMonth(placed) AS month, sum(amount) FROM orders GROUP BY month ORDER BY month
SELECT toYear(born), count() FROM people GROUP BY 1 ORDER BY 1
SELECT dateDiff('day', born, toDate('2026-01-01')) FROM people ORDER BY id
SELECT placed + INTERVAL 1 DAY, placed - INTERVAL 2 MONTH FROM orders ORDER BY id
SELECT formatDateTime(placed, '%Y-%m'), toDayOfWeek(placed) FROM orders ORDER BY id
SELECT EXTRACT(YEAR FROM placed) AS y, count() FROM orders GROUP BY y ORDER BY y
SELECT quantile(0.5)(salary), quantiles(0.25, 0.75)(age), median(age) FROM people
SELECT quantileExact(0.9)(amount), stddevPop(amount), varSamp(amount) FROM orders
SELECT sumIf(amount, status = 'paid'), countIf(status != 'paid'), avgIf(amount, amount > 10) FROM orders
SELECT argMax(id, salary), argMin(city, age), anyLast(1) FROM people
SELECT arraySort(groupArray(id)), arraySort(groupUniqArray(city)) FROM people
SELECT id, length(tags), has(tags, 'a'), arrayStringConcat(tags, ',') FROM people ORDER BY id
SELECT id, tag FROM people ARRAY JOIN tags AS tag ORDER BY id, tag
SELECT id, tag FROM people LEFT ARRAY JOIN tags AS tag ORDER BY id, tag
SELECT arrayJoin(tags) AS tag, count() FROM people GROUP BY tag ORDER BY tag
SELECT id, arrayMap(x -> upper(x), tags), arrayFilter(x -> x != 'a', tags) FROM people ORDER BY id
SELECT arrayMap((x, y) -> x + y, [1, 2], [3, 4]), arrayReduce('sum', [1, 2, 3]), range(3)
SELECT id, CASE WHEN age < 30 THEN 'young' WHEN age < 60 THEN 'middle' ELSE 'old' END AS band FROM people ORDER BY id
SELECT CASE status WHEN 'paid' THEN 1 ELSE 0 END FROM orders ORDER BY id
SELECT if(age > 40, 'a', 'b'), multiIf(age < 20, 1, age < 40, 2, 3), coalesce(NULL, city) FROM people ORDER BY id
SELECT id FROM people WHERE city LIKE 'O%' OR lower(city) ILIKE '%im_' ORDER BY id
SELECT id FROM people WHERE age BETWEEN 20 AND 40 AND NOT (city = 'Oslo') ORDER BY id
SELECT id FROM people WHERE id IN (SELECT person FROM orders WHERE amount > 20) ORDER BY id
SELECT id FROM people WHERE id NOT IN (SELECT person FROM orders) ORDER BY id
SELECT id FROM people AS p WHERE EXISTS (SELECT 1 FROM orders WHERE amount > 40) ORDER BY id
SELECT a.id, b.id FROM people AS a CROSS JOIN people AS b WHERE a.id < b.id AND a.city = b.city ORDER BY a.id, b.id
SELECT p.id, count(o.id) FROM people AS p LEFT JOIN orders AS o ON p.id = o.person GROUP BY p.id ORDER BY p.id
SELECT id, name FROM people AS p SEMI LEFT JOIN orders AS o ON p.id = o.person ORDER BY id
SELECT p.id FROM people AS p LEFT ANTI JOIN orders AS o ON p.id = o.person ORDER BY p.id
SELECT id FROM people UNION ALL SELECT id FROM orders ORDER BY id
SELECT * FROM (SELECT city FROM people UNION DISTINCT SELECT status FROM orders) ORDER BY 1
SELECT * FROM (SELECT id FROM people INTERSECT SELECT person FROM orders) ORDER BY id
SELECT * FROM (SELECT id FROM people EXCEPT SELECT person FROM orders) ORDER BY id
SELECT DISTINCT city FROM people ORDER BY city
SELECT city, age FROM people ORDER BY age DESC NULLS LAST, id LIMIT 2 OFFSET 1
SELECT city, id FROM people ORDER BY city, salary DESC, id LIMIT 1 BY city
SELECT city, sum(salary) FROM people GROUP BY city WITH TOTALS ORDER BY city
SELECT city, age > 30 AS older, count() FROM people GROUP BY ROLLUP(city, older) ORDER BY ALL
SELECT city, count() FROM people GROUP BY GROUPING SETS ((city), ()) ORDER BY ALL
SELECT CAST(age AS String), age::Float64, toDecimal64(amount, 2) FROM people INNER JOIN orders USING (id) ORDER BY id
SELECT splitByChar(' ', name)[1], substring(name, 1, 3), name || '!' FROM people ORDER BY id
SELECT replaceRegexpAll(name, '[aeiou]', '_'), extract(name, '^(.)'), match(name, '^A') FROM people ORDER BY id
SELECT position(name, 'a'), trim(BOTH ' ' FROM name), concat(name, '-', city), reverse(city) FROM people ORDER BY id
SELECT round(avg(salary), 2), floor(min(salary)), intDiv(max(age), 10), max(age) % 7 FROM people
SELECT tuple(id, city).2, (id, city) = (1, 'Oslo'), map('a', id)['a'] FROM people ORDER BY id
SELECT topK(1)(city), corr(age, salary), uniq(id) FROM people
SELECT JSONExtractInt('{"a": 5}', 'a'), JSONExtractString('{"b": "x"}', 'b')
SELECT `id`, "city" AS `the city` FROM people ORDER BY id -- a comment
SELECT /* what for */ id FROM default.people ORDER BY id
SELECT people.id, people.* FROM people ORDER BY people.id
SELECT * EXCEPT (tags, name) FROM people ORDER BY id
SELECT * REPLACE (age + 1 AS age) FROM people ORDER BY id
SELECT toIntervalDay(1) + toDate('2026-01-01'), today() > toDate('2020-01-01'), 1 ? 2 : 3, -1, 1.5e3, NULL IS NULL, true
SELECT id FROM people WHERE (id, age) IN ((1, 27), (2, 34)) ORDER BY id
SELECT sum(x.1), max(y) FROM (SELECT (id, age) AS x, salary AS y FROM people)
SELECT id, count() OVER () AS n FROM people QUALIFY n > 1 ORDER BY id
SELECT toStartOfInterval(placed, INTERVAL 1 WEEK) AS w FROM orders GROUP BY w ORDER BY w WITH FILL STEP INTERVAL 1 WEEK
SELECT o.id, p.id FROM orders AS o ASOF JOIN people AS p ON o.person = p.id AND o.id >= p.age ORDER BY o.id
SELECT count() FROM (SELECT 1 FROM people LIMIT 3)
SELECT name FROM people WHERE name = 'O\\'Hara' OR name = 'tab\\there' OR name = 'back\\\\slash' ORDER BY id
""".strip().splitlines()
)
