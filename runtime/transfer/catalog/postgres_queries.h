// The catalogue queries of PostgreSQL 12 and newer; `$1` is the list of schemas. Internal to
// runtime/transfer/catalog. Lists are joined by U+0001.
#pragma once

#include <string>

namespace runbook::catalog::postgresql {

inline constexpr const char* schemas = R"(
SELECT current_database()::text AS database, pg_encoding_to_char(d.encoding)::text AS encoding,
       d.datcollate::text AS collation, n.nspname::text AS schema
FROM pg_catalog.pg_database d
LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = ANY ($1::text[])
WHERE d.datname = current_database()
ORDER BY array_position($1::text[], n.nspname::text))";

inline constexpr const char* tables = R"(
SELECT n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       c.reltuples::int8 AS estimate,
       CASE WHEN c.relkind = 'r' THEN pg_catalog.pg_table_size(c.oid) ELSE 0 END AS bytes,
       CASE WHEN c.relkind = 'r'
            THEN pg_catalog.pg_relation_size(c.oid) / current_setting('block_size')::int8
            ELSE 0 END AS pages,
       pg_catalog.obj_description(c.oid, 'pg_class') AS comment,
       CASE WHEN c.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END AS partition_key,
       (SELECT string_agg(p.relname::text, E'\x01' ORDER BY i.inhseqno)
        FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
        WHERE i.inhrelid = c.oid) AS inherits,
       c.relrowsecurity::int4 AS row_security, (c.relpersistence = 'u')::int4 AS unlogged
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY ($1::text[]) AND c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition
  AND c.relpersistence <> 't'
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_class'::regclass
                  AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C")";

/// Every partition below the roots of the schemas, with its root: shared by three queries.
inline const std::string tree = R"(
WITH RECURSIVE tree(oid, root) AS (
    SELECT c.oid, c.oid FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY ($1::text[]) AND c.relkind = 'p' AND NOT c.relispartition
  UNION ALL
    SELECT i.inhrelid, tree.root FROM pg_catalog.pg_inherits i JOIN tree ON tree.oid = i.inhparent)
)";

inline const std::string partitions = tree + R"(
SELECT rn.nspname::text AS schema, r.relname::text AS tab, n.nspname::text AS leaf_schema,
       c.relname::text AS leaf, c.reltuples::int8 AS estimate,
       pg_catalog.pg_table_size(c.oid) AS bytes,
       pg_catalog.pg_relation_size(c.oid) / current_setting('block_size')::int8 AS pages
FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class r ON r.oid = tree.root
JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
WHERE c.relkind IN ('r', 'f')
ORDER BY rn.nspname COLLATE "C", r.relname COLLATE "C", c.relname COLLATE "C")";

inline constexpr const char* columns = R"(
WITH RECURSIVE base(oid, type, modifier, not_null) AS (
    SELECT t.oid, t.oid, -1, false FROM pg_catalog.pg_type t WHERE t.typtype <> 'd'
  UNION ALL
    SELECT d.oid, base.type,
           CASE WHEN d.typtypmod <> -1 THEN d.typtypmod ELSE base.modifier END,
           d.typnotnull OR base.not_null
    FROM pg_catalog.pg_type d JOIN base ON base.oid = d.typbasetype WHERE d.typtype = 'd'),
labels AS (
    SELECT e.enumtypid AS oid, string_agg(e.enumlabel::text, E'\x01' ORDER BY e.enumsortorder) AS list
    FROM pg_catalog.pg_enum e GROUP BY 1),
domain_checks AS (
    SELECT k.contypid AS oid,
           string_agg(pg_catalog.pg_get_expr(k.conbin, 0), E'\x01' ORDER BY k.conname) AS list
    FROM pg_catalog.pg_constraint k WHERE k.contypid <> 0 AND k.contype = 'c' GROUP BY 1),
sequences AS (
    SELECT d.refobjid AS tab, d.refobjsubid AS col, d.objid AS seq
    FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
      AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
  UNION
    SELECT ad.adrelid, ad.adnum, d.refobjid
    FROM pg_catalog.pg_attrdef ad
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = ad.oid
     AND d.refclassid = 'pg_class'::regclass
    JOIN pg_catalog.pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
    WHERE pg_catalog.pg_get_expr(ad.adbin, ad.adrelid) LIKE 'nextval(%')
SELECT DISTINCT ON (n.nspname, c.relname, a.attnum)
       n.nspname::text AS schema, c.relname::text AS tab, a.attname::text AS col,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
       t.typname::text AS base, t.typtype::text AS kind,
       CASE WHEN a.atttypmod <> -1 THEN a.atttypmod ELSE base.modifier END AS modifier,
       (a.attnotnull OR base.not_null)::int4 AS not_null,
       pg_catalog.pg_get_expr(ad.adbin, ad.adrelid) AS default_expression,
       a.attgenerated::text AS generated, a.attidentity::text AS identity,
       CASE WHEN a.attcollation <> t.typcollation THEN co.collname::text END AS collation,
       CASE WHEN t.typelem <> 0 AND t.typlen = -1 AND t.typcategory = 'A'
            THEN pg_catalog.format_type(t.typelem, NULL) END AS element,
       el.typname::text AS element_base, el.typtype::text AS element_kind, labels.list AS labels,
       CASE WHEN dt.typtype = 'd' THEN dn.nspname || '.' || dt.typname END AS domain,
       CASE WHEN dt.typtype = 'd' THEN domain_checks.list END AS domain_checks,
       pg_catalog.col_description(c.oid, a.attnum) AS comment,
       s.relname::text AS sequence, sq.seqstart AS seq_start, sq.seqincrement AS seq_increment,
       CASE WHEN pg_catalog.has_sequence_privilege(s.oid, 'USAGE, SELECT')
            THEN pg_catalog.pg_sequence_last_value(s.oid) END AS seq_last
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type dt ON dt.oid = a.atttypid
JOIN pg_catalog.pg_namespace dn ON dn.oid = dt.typnamespace
JOIN base ON base.oid = a.atttypid
JOIN pg_catalog.pg_type t ON t.oid = base.type
LEFT JOIN pg_catalog.pg_type el ON el.oid = t.typelem
LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation
LEFT JOIN pg_catalog.pg_attrdef ad ON ad.adrelid = c.oid AND ad.adnum = a.attnum
LEFT JOIN labels ON labels.oid = base.type
LEFT JOIN domain_checks ON domain_checks.oid = a.atttypid
LEFT JOIN sequences sd ON sd.tab = c.oid AND sd.col = a.attnum
LEFT JOIN pg_catalog.pg_class s ON s.oid = sd.seq
LEFT JOIN pg_catalog.pg_sequence sq ON sq.seqrelid = s.oid
WHERE n.nspname = ANY ($1::text[]) AND c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition
ORDER BY n.nspname, c.relname, a.attnum)";

/// Of tables, and of partitions where the index is none of its parent's.
inline const std::string indexes = tree + R"(
SELECT n.nspname::text AS schema, c.relname::text AS tab, rn.nspname::text AS root_schema,
       r.relname::text AS root, i.relname::text AS name, am.amname::text AS method,
       x.indisunique::int4 AS is_unique, x.indisprimary::int4 AS is_primary,
       (k.oid IS NOT NULL)::int4 AS is_constraint, x.indisexclusion::int4 AS is_exclusion,
       (NOT x.indimmediate)::int4 AS is_deferrable, x.indisvalid::int4 AS is_valid,
       coalesce((to_jsonb(x) ->> 'indnullsnotdistinct')::bool, false)::int4 AS nulls_not_distinct,
       pg_catalog.pg_get_expr(x.indpred, x.indrelid) AS predicate,
       pg_catalog.pg_get_indexdef(x.indexrelid) AS definition,
       pg_catalog.obj_description(x.indexrelid, 'pg_class') AS comment, x.indnkeyatts AS keys,
       (SELECT string_agg(coalesce(a.attname::text, ''), E'\x01' ORDER BY p.pos)
        FROM unnest(x.indkey::int2[]) WITH ORDINALITY p(attnum, pos)
        LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = p.attnum
         AND p.attnum <> 0) AS columns,
       (SELECT string_agg(CASE WHEN p.attnum = 0
                               THEN pg_catalog.pg_get_indexdef(x.indexrelid, p.pos::int4, true)
                               ELSE '' END, E'\x01' ORDER BY p.pos)
        FROM unnest(x.indkey::int2[]) WITH ORDINALITY p(attnum, pos)) AS expressions,
       (SELECT string_agg((o.flag & 1)::text, E'\x01' ORDER BY o.pos)
        FROM unnest(x.indoption::int2[]) WITH ORDINALITY o(flag, pos)) AS flags
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class c ON c.oid = x.indrelid
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_am am ON am.oid = i.relam
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = x.indexrelid AND k.contype IN ('p', 'u', 'x')
LEFT JOIN tree ON tree.oid = c.oid AND tree.root <> c.oid
LEFT JOIN pg_catalog.pg_class r ON r.oid = tree.root
LEFT JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
WHERE (n.nspname = ANY ($1::text[]) OR tree.oid IS NOT NULL) AND c.relkind IN ('r', 'p')
  AND (tree.oid IS NULL OR NOT EXISTS (SELECT 1 FROM pg_catalog.pg_inherits h
                                       WHERE h.inhrelid = x.indexrelid))
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C", i.relname COLLATE "C")";

inline const std::string foreign_keys = tree + R"(
SELECT n.nspname::text AS schema, c.relname::text AS tab, rn.nspname::text AS root_schema,
       r.relname::text AS root, k.conname::text AS name, tn.nspname::text AS to_schema,
       t.relname::text AS to_table,
       (SELECT string_agg(a.attname::text, E'\x01' ORDER BY p.pos)
        FROM unnest(k.conkey) WITH ORDINALITY p(attnum, pos)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.attnum)
           AS columns,
       (SELECT string_agg(a.attname::text, E'\x01' ORDER BY p.pos)
        FROM unnest(k.confkey) WITH ORDINALITY p(attnum, pos)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = p.attnum)
           AS to_columns,
       CASE k.confupdtype WHEN 'a' THEN 'NO ACTION' WHEN 'r' THEN 'RESTRICT' WHEN 'c' THEN 'CASCADE'
            WHEN 'n' THEN 'SET NULL' ELSE 'SET DEFAULT' END AS on_update,
       CASE k.confdeltype WHEN 'a' THEN 'NO ACTION' WHEN 'r' THEN 'RESTRICT' WHEN 'c' THEN 'CASCADE'
            WHEN 'n' THEN 'SET NULL' ELSE 'SET DEFAULT' END AS on_delete,
       CASE k.confmatchtype WHEN 'f' THEN 'FULL' WHEN 'p' THEN 'PARTIAL' ELSE 'SIMPLE' END AS match,
       k.condeferrable::int4 AS is_deferrable, k.convalidated::int4 AS is_validated
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class t ON t.oid = k.confrelid
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
LEFT JOIN tree ON tree.oid = c.oid AND tree.root <> c.oid
LEFT JOIN pg_catalog.pg_class r ON r.oid = tree.root
LEFT JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0
  AND (n.nspname = ANY ($1::text[]) OR tree.oid IS NOT NULL)
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C", k.conname COLLATE "C")";

inline constexpr const char* checks = R"(
SELECT n.nspname::text AS schema, c.relname::text AS tab, k.conname::text AS name,
       pg_catalog.pg_get_expr(k.conbin, k.conrelid) AS expression,
       k.convalidated::int4 AS is_validated
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'c' AND n.nspname = ANY ($1::text[]) AND NOT c.relispartition
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C", k.conname COLLATE "C")";

/// Everything in the schemas that is no table, index or constraint.
inline constexpr const char* objects = R"(
SELECT kind, schema, name, detail FROM (
    SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
                          ELSE 'sequence' END AS kind,
           n.nspname::text AS schema, c.relname::text AS name, ''::text AS detail,
           'pg_class'::regclass AS class, c.oid AS oid
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE (c.relkind IN ('v', 'm')
           OR c.relkind = 'S' AND NOT EXISTS (
                SELECT 1 FROM pg_catalog.pg_depend d
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
                  AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0)
              AND NOT EXISTS (
                SELECT 1 FROM pg_catalog.pg_depend d
                WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
                  AND d.refobjid = c.oid))
      AND n.nspname = ANY ($1::text[]) AND c.relpersistence <> 't'
  UNION ALL
    SELECT CASE p.prokind WHEN 'a' THEN 'aggregate' WHEN 'p' THEN 'procedure'
                          WHEN 'w' THEN 'window function' ELSE 'function' END,
           n.nspname, p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')',
           CASE WHEN p.prorettype = 'trigger'::regtype THEN 'for triggers' ELSE '' END,
           'pg_proc'::regclass, p.oid
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = ANY ($1::text[])
  UNION ALL
    SELECT 'trigger', n.nspname, g.tgname, 'on ' || c.relname, 'pg_trigger'::regclass, g.oid
    FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT g.tgisinternal AND n.nspname = ANY ($1::text[])
  UNION ALL
    SELECT 'rule', n.nspname, w.rulename, 'on ' || c.relname, 'pg_rewrite'::regclass, w.oid
    FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_class c ON c.oid = w.ev_class
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE w.rulename <> '_RETURN' AND n.nspname = ANY ($1::text[])
  UNION ALL
    SELECT 'policy', n.nspname, l.polname, 'on ' || c.relname, 'pg_policy'::regclass, l.oid
    FROM pg_catalog.pg_policy l JOIN pg_catalog.pg_class c ON c.oid = l.polrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY ($1::text[])
  UNION ALL
    SELECT CASE t.typtype WHEN 'd' THEN 'domain' WHEN 'e' THEN 'enum type' WHEN 'r' THEN 'range type'
                          ELSE 'composite type' END,
           n.nspname, t.typname, '', 'pg_type'::regclass, t.oid
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
    WHERE (t.typtype IN ('d', 'e', 'r') OR t.typtype = 'c' AND c.relkind = 'c')
      AND n.nspname = ANY ($1::text[])
  UNION ALL
    SELECT 'statistics', n.nspname, s.stxname, '', 'pg_statistic_ext'::regclass, s.oid
    FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
    WHERE n.nspname = ANY ($1::text[])
  UNION ALL
    SELECT 'operator', n.nspname, o.oprname, '', 'pg_operator'::regclass, o.oid
    FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
    WHERE n.nspname = ANY ($1::text[])
) x(kind, schema, name, detail, class, oid)
WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
                  WHERE d.classid = x.class AND d.objid = x.oid AND d.deptype = 'e')
ORDER BY kind, schema COLLATE "C", name COLLATE "C", detail COLLATE "C")";

/// Tables of schemas that were not asked for, and what belongs to the database as a whole.
inline constexpr const char* outside = R"(
SELECT 'table' AS kind, n.nspname::text AS schema, c.relname::text AS name,
       'in a schema that is not copied' AS detail
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND NOT n.nspname = ANY ($1::text[]) AND n.nspname <> 'information_schema'
  AND n.nspname NOT LIKE 'pg\_%'
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_class'::regclass
                  AND d.objid = c.oid AND d.deptype = 'e')
UNION ALL
SELECT 'extension', '', e.extname, '' FROM pg_catalog.pg_extension e WHERE e.extname <> 'plpgsql'
UNION ALL
SELECT 'publication', '', p.pubname, '' FROM pg_catalog.pg_publication p
UNION ALL
SELECT 'event trigger', '', t.evtname, '' FROM pg_catalog.pg_event_trigger t
UNION ALL
SELECT 'large object', '', count(*)::text, 'large objects in all'
FROM pg_catalog.pg_largeobject_metadata HAVING count(*) > 0
ORDER BY 1, 2, 3)";

} // namespace runbook::catalog::postgresql
