-- Makes the little shop that the quickstart moves: three tables in a SQLite file, with values that careless copies spoil.
--   runbook exec playbooks/sample_shop.lua --shop sqlite:shop.db
local p = playbook "sample-shop" {
  summary = "Fill an empty SQLite database with a small shop",
  params  = {
    shop   = { "database", access = "write", required = true, empty = true, doc = "empty database to fill, as sqlite:PATH" },
    orders = { "integer", default = 20000, doc = "how many orders" },
  },
}
local function run_all(statements)
  for _, sql in ipairs(statements) do db.execute(p.shop, sql) end
end

step "tables" { takes = "1s",
  run  = function()
    run_all {
      "create table customers (id integer primary key, name text not null, email text unique, note text)",
      "create table products (id integer primary key, name text not null, price numeric not null, picture blob)",
      [[create table orders (id integer primary key, customer_id integer not null references customers(id),
          product_id integer not null references products(id), pieces integer not null, ordered_at text not null)]],
      "create index orders_by_customer on orders (customer_id, ordered_at)",
    }
  end,
  undo = function() run_all { "drop table if exists orders", "drop table if exists products", "drop table if exists customers" } end,
}
step "rows" { takes = "2s",
  run  = function()
    db.execute(p.shop, [[insert into customers
      with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000)
      select i, 'Zoë ' || i || ' 🛒', 'customer' || i || '@example.org',
        case i % 4 when 0 then null when 1 then '' when 2 then 'tab' || char(9) || 'line' || char(10) || '\N' else 'back\slash' end from n]])
    db.execute(p.shop, [[insert into products
      with recursive n(i) as (select 1 union all select i + 1 from n where i < 200)
      select i, 'product ' || i, i || '.' || printf('%02d', i % 100), randomblob(64) from n]])
    db.execute(p.shop, [[insert into orders
      with recursive n(i) as (select 1 union all select i + 1 from n where i < ?)
      select i, 1 + i % 2000, 1 + i % 200, 1 + i % 5, datetime(1760000000 + i * 60, 'unixepoch') from n]], p.orders)
  end,
  undo = keep "they go with the tables",
}
