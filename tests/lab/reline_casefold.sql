-- Rows whose unique keys differ for PostgreSQL and are equal under utf8mb4_unicode_ci: by case, by accent, by blanks at the
-- end, by width. They come on top of reline.sql; a copy that asks for that collation has to refuse before it writes a row.

insert into operators (email, name) values
    ('Operator7@example.com', 'case'), ('OPERATOR8@EXAMPLE.COM', 'case'), ('renée@example.com', 'accent'),
    ('renee@example.com', 'accent'), ('blank@example.com', 'blanks'), ('blank@example.com  ', 'blanks');

insert into line_groups (line_group_id, remind_at)
select upper('C' || md5('line group ' || n)), '2024-12-24' from generate_series(1, 40) n
where upper(md5('line group ' || n)) <> md5('line group ' || n);
insert into line_groups (line_group_id, remind_at) values ('Straße', '2024-12-24'), ('strasse', '2024-12-24'),
    ('ﾊﾝｶｸ', '2024-12-24'), ('ハンカク', '2024-12-24');
