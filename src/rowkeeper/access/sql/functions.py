"""The functions that governed SQL may call: those that make a value of their arguments and of nothing else.

What is not in the list is refused, also what a later ClickHouse brings. Left out on purpose: what reads something else
than its arguments (`file`, `dictGet*`, `joinGet`, `getSetting`, `hostName`, `currentUser`, `hasColumnInTable`); what
waits or throws when it is told to (`sleep*`, `throwIf`, `aggThrow`); what tells of how a column is stored rather than
of its values (`lowCardinalityKeys` shows values of rows that a filter took away, `blockNumber`, `rowNumberInBlock`,
`indexHint`, `byteSize`, ...); what reads states of aggregates that somebody made up (`finalizeAggregation`, -Merge);
and what carries keys or programs (`encrypt`, `evalMLMethod`, `ai*`).
"""

from __future__ import annotations

_OPERATORS = """
    and or not xor equals notEquals less greater lessOrEquals greaterOrEquals isDistinctFrom isNotDistinctFrom
    in notIn globalIn globalNotIn nullIn notNullIn plus minus multiply divide modulo negate intDiv
    like notLike ilike notILike match isNull isNotNull concat tuple array map tupleElement arrayElement lambda
    CAST if multiIf caseWithExpression caseWithoutExpression caseWithExpr caseWithoutExpr exists
"""

_PLAIN = """
    abs ceil ceiling floor round roundBankers roundToExp2 roundDown trunc truncate sign sqrt cbrt exp exp2 exp10 log ln
    log2 log10 log1p pow power sin cos tan asin acos atan atan2 sinh cosh tanh hypot degrees radians pi e erf erfc
    factorial gcd lcm greatest least clamp max2 min2 intDivOrZero intDivOrNull moduloOrZero moduloOrNull positiveModulo
    positive_modulo mod pmod divideOrNull divideDecimal multiplyDecimal isFinite isInfinite isNaN ifNotFinite
    widthBucket width_bucket bitAnd bitOr bitXor bitNot bitShiftLeft bitShiftRight bitTest bitCount
    coalesce ifNull nullIf assumeNotNull toNullable isZeroOrNull firstNonDefault transform
    empty notEmpty length lengthUTF8 char_length character_length octet_length lower lcase upper ucase lowerUTF8
    upperUTF8 reverse reverseUTF8 concatWithSeparator concat_ws substring substr mid substringUTF8 substringIndex
    substring_index left right leftUTF8 rightUTF8 leftPad lpad rightPad rpad leftPadUTF8 rightPadUTF8 trim trimBoth
    trimLeft trimRight ltrim rtrim startsWith endsWith position locate instr positionCaseInsensitive positionUTF8
    positionCaseInsensitiveUTF8 countSubstrings countMatches extract extractAll extractAllGroups extractGroups
    regexpExtract regexp_extract regexp_substr regexp_replace replace replaceAll replaceOne replaceRegexpOne
    replaceRegexpAll translate translateUTF8 format printf splitByChar splitByString splitByRegexp splitByWhitespace
    splitByNonAlpha arrayStringConcat hasToken hasSubsequence initcap initcapUTF8 ascii char hex unhex bin unbin
    base64Encode base64Decode repeat space leftPad soundex editDistance levenshteinDistance damerauLevenshteinDistance
    jaroSimilarity jaroWinklerSimilarity ngramDistance toValidUTF8 isValidUTF8 appendTrailingCharIfAbsent
    encodeURLComponent decodeURLComponent domain domainWithoutWWW topLevelDomain protocol path queryString
    extractURLParameter extractURLParameters cutQueryString
    formatReadableSize formatReadableQuantity formatReadableTimeDelta bar
    MD5 SHA1 SHA256 SHA512 sipHash64 cityHash64 xxHash32 xxHash64 murmurHash3_64 farmHash64 intHash32 intHash64 CRC32
    toTypeName identity materialize rand rand64 generateUUIDv4
"""

_CONVERSIONS = """
    toString toFixedString toBool toUUID toUUIDOrNull toUUIDOrZero toDate toDateOrNull toDateOrZero toDate32
    toDate32OrNull toDateTime toDateTimeOrNull toDateTimeOrZero toDateTime64 toDateTime64OrNull toDateTime32
    toInt8 toInt16 toInt32 toInt64 toInt128 toInt256 toUInt8 toUInt16 toUInt32 toUInt64 toUInt128 toUInt256
    toInt8OrNull toInt16OrNull toInt32OrNull toInt64OrNull toUInt8OrNull toUInt16OrNull toUInt32OrNull toUInt64OrNull
    toInt8OrZero toInt16OrZero toInt32OrZero toInt64OrZero toUInt8OrZero toUInt16OrZero toUInt32OrZero toUInt64OrZero
    toFloat32 toFloat64 toFloat32OrNull toFloat64OrNull toFloat32OrZero toFloat64OrZero toDecimal32 toDecimal64
    toDecimal128 toDecimal32OrNull toDecimal64OrNull toDecimal128OrNull toDecimalString accurateCast accurateCastOrNull
    accurateCastOrDefault parseDateTime parseDateTimeOrNull parseDateTimeBestEffort parseDateTimeBestEffortOrNull
    parseDateTime64BestEffort parseDateTime64BestEffortOrNull str_to_date
    toIPv4 toIPv6 IPv4NumToString IPv4StringToNum isIPv4String isIPv6String isIPAddressInRange
    toIntervalNanosecond toIntervalMicrosecond toIntervalMillisecond toIntervalSecond toIntervalMinute toIntervalHour
    toIntervalDay toIntervalWeek toIntervalMonth toIntervalQuarter toIntervalYear
"""

_TIMES = """
    now now64 today yesterday curdate current_date current_timestamp timezoneOf toTimezone timezoneOffset
    toYear toQuarter toMonth toWeek toISOWeek toISOYear toYearWeek toDayOfYear toDayOfMonth toDayOfWeek toHour toMinute
    toSecond toMillisecond year quarter month week day hour minute second dayofmonth dayofweek dayofyear yearweek
    toUnixTimestamp toUnixTimestamp64Milli toUnixTimestamp64Micro fromUnixTimestamp fromUnixTimestamp64Milli
    fromUnixTimestamp64Micro from_unixtime
    toStartOfYear toStartOfISOYear toStartOfQuarter toStartOfMonth toStartOfWeek toMonday toStartOfDay toStartOfHour
    toStartOfMinute toStartOfSecond toStartOfMillisecond toStartOfFiveMinutes toStartOfTenMinutes
    toStartOfFifteenMinutes toStartOfInterval time_bucket date_bin toLastDayOfMonth toLastDayOfWeek last_day
    toDaysInMonth toYYYYMM toYYYYMMDD toYYYYMMDDhhmmss YYYYMMDDToDate toRelativeDayNum toRelativeMonthNum
    toRelativeWeekNum toRelativeHourNum toTime dateDiff date_diff timestampDiff timestamp_diff timeDiff age dateTrunc
    date_trunc dateName monthName formatDateTime date_format dateAdd date_add dateSub date_sub timestampAdd
    timestamp_add timestampSub timestamp_sub addDate subDate addInterval subtractInterval
    addYears addQuarters addMonths addWeeks addDays addHours addMinutes addSeconds addMilliseconds
    subtractYears subtractQuarters subtractMonths subtractWeeks subtractDays subtractHours subtractMinutes
    subtractSeconds makeDate makeDate32 makeDateTime date timeSlot
"""

_ARRAYS = """
    arrayJoin arrayMap arrayFilter arrayExists arrayAll arrayCount arrayFirst arrayLast arrayFirstIndex arrayLastIndex
    arrayFirstOrNull arrayLastOrNull arraySum arrayAvg arrayMin arrayMax arrayProduct arraySort arrayReverseSort
    arrayReverse arrayDistinct arrayUniq arrayConcat arraySlice arrayPushBack arrayPushFront
    arrayPopBack arrayPopFront arrayResize arrayFlatten flatten arrayCompact arrayZip arrayEnumerate arrayEnumerateUniq
    arrayEnumerateDense arrayDifference arrayCumSum arrayCumSumNonNegative arrayReduce arrayFold arrayFill
    arrayReverseFill arraySplit arrayReverseSplit arrayIntersect arrayUnion arrayExcept arraySymmetricDifference
    arrayRotateLeft arrayRotateRight arrayShiftLeft arrayShiftRight arrayWithConstant arrayDotProduct has hasAll hasAny
    hasSubstr indexOf range emptyArrayString emptyArrayInt64 emptyArrayUInt64 emptyArrayFloat64 arrayJaccardIndex
    arrayRemove arrayLevenshteinDistance countEqual
    mapKeys mapValues mapContains mapContainsKey mapContainsValue mapAdd mapSubtract mapFilter mapApply mapFromArrays
    mapSort mapExists mapAll mapConcat mapUpdate tupleConcat tuplePlus tupleMinus tupleNames dotProduct
    L1Distance L2Distance L2Norm L1Norm cosineDistance greatCircleDistance geoDistance pointInPolygon
    JSONExtract JSONExtractString JSONExtractInt JSONExtractUInt JSONExtractFloat JSONExtractBool JSONExtractRaw
    JSONExtractArrayRaw JSONExtractKeys JSONExtractKeysAndValues JSONHas JSONLength JSONType JSON_VALUE JSON_QUERY
    JSON_EXISTS isValidJSON toJSONString simpleJSONExtractString simpleJSONExtractInt simpleJSONExtractFloat
    simpleJSONExtractBool simpleJSONHas
"""

_AGGREGATES = """
    count sum avg min max any any_value anyLast first_value last_value first_value_respect_nulls
    last_value_respect_nulls argMin argMax min_by max_by uniq uniqExact uniqCombined uniqCombined64 uniqHLL12
    quantile quantiles quantileExact quantilesExact quantileExactLow quantileExactHigh quantileExactInclusive
    quantileExactExclusive quantilesExactInclusive quantilesExactExclusive quantileTDigest quantilesTDigest
    quantileTiming quantilesTiming quantileExactWeighted quantileTDigestWeighted quantileDeterministic quantileDD
    quantileInterpolatedWeighted quantileBFloat16 median medianExact medianTDigest
    stddevPop stddevSamp stddev stddev_pop stddev_samp std varPop varSamp var_pop var_samp covarPop covarSamp covar_pop
    covar_samp corr skewPop skewSamp kurtPop kurtSamp entropy sumKahan sumWithOverflow sumCount avgWeighted
    groupArray groupUniqArray groupArrayLast groupArraySorted groupArrayMovingAvg groupArrayMovingSum
    groupArrayIntersect groupArraySample groupConcat group_concat string_agg array_agg groupBitAnd groupBitOr
    groupBitXor
    topK topKWeighted approx_top_k approx_top_count approx_top_sum histogram sumMap minMap maxMap sumMappedArrays
    minMappedArrays maxMappedArrays deltaSum deltaSumTimestamp simpleLinearRegression regr_slope regr_intercept
    retention windowFunnel sequenceMatch sequenceCount intervalLengthSum exponentialMovingAverage singleValueOrNull
    anyHeavy rankCorr studentTTest welchTTest mannWhitneyUTest boundingRatio gini grouping
    row_number rank dense_rank denseRank percent_rank percentRank cume_dist ntile lag lead lagInFrame leadInFrame
    nth_value
"""

AGGREGATES = frozenset(_AGGREGATES.lower().split())
FUNCTIONS = AGGREGATES | frozenset(
    name for group in (_OPERATORS, _PLAIN, _CONVERSIONS, _TIMES, _ARRAYS) for name in group.lower().split()
)
COMBINATORS = ("if", "array", "map", "distinct", "ordefault", "ornull", "foreach", "argmin", "argmax")
# Of ClickHouse's own making, where it takes a query apart: never typed.
INTERNAL = frozenset({"_cast", "__actionname", "__scalarsubqueryresult", "__getscalar", "ininorset"})


def is_allowed(name: str) -> bool:
    """Whether a function may be called; names are taken without case, as no two of the list differ in it alone."""
    name = name.lower()
    return name in FUNCTIONS or _is_combined(name)


def _is_combined(name: str) -> bool:
    """Whether it is an aggregate with combinators, such as `sumIf`, `uniqArrayIf`."""
    for suffix in COMBINATORS:
        base = name.removesuffix(suffix)
        if base != name and (base in AGGREGATES or _is_combined(base)):
            return True
    return False
