-- SQL text cut into its statements, and what is known of one from its words. Part of `migrate`.
local M = {}

-- Where the quoted text, comment or dollar quote that begins at `i` ends (the position behind it); nil where none begins.
local function skip(text, i, mysql)
  local c, two = text:sub(i, i), text:sub(i, i + 1)
  if two == "--" or mysql and c == "#" then return (text:find("\n", i, true) or #text) + 1 end
  if two == "/*" then
    local depth, at = 1, i + 2
    while depth > 0 do
      local from = text:find("[/*][*/]", at)
      if not from then return #text + 1 end
      local mark = text:sub(from, from + 1)
      if mark == "*/" then depth = depth - 1 elseif mark == "/*" and not mysql then depth = depth + 1 end
      at = from + ((mark == "*/" or mark == "/*") and 2 or 1)
    end
    return at
  end
  if c == "'" or c == '"' or c == "`" then
    local escapes = mysql and c ~= "`" or c == "'" and text:sub(i - 1, i - 1):lower() == "e" and not text:sub(i - 2, i - 2):find "[%w_]"
    local at = i + 1
    while at <= #text do
      local here = text:sub(at, at)
      if escapes and here == "\\" then at = at + 1
      elseif here == c then
        if text:sub(at + 1, at + 1) ~= c then return at + 1 end
        at = at + 1
      end
      at = at + 1
    end
    return #text + 1
  end
  if c == "$" and not mysql and not text:sub(i - 1, i - 1):find "[%w_]" then
    local tag = text:match("^%$[%a_]?[%w_]*%$", i)
    if tag then
      local _, stop = text:find(tag, i + #tag, true)
      return (stop or #text) + 1
    end
  end
end

-- The statement without its comments and what is quoted, in small letters with single spaces: to look for words in.
function M.words(text, mysql)
  local out, i = {}, 1
  while i <= #text do
    local behind = skip(text, i, mysql)
    if behind then
      out[#out + 1] = text:sub(i, i):find "[-#/]" and " " or '"x"'
      i = behind
    else
      out[#out + 1] = text:sub(i, i)
      i = i + 1
    end
  end
  return (table.concat(out):lower():gsub("%s+", " "):gsub("^ ", ""):gsub(" $", ""))
end

-- List of { text, line, words }. A trigger's or function's body in BEGIN … END (SQLite, MySQL) is part of its statement.
function M.split(text, mysql)
  local list, from, i = {}, 1, 1
  local function add(to)
    local piece = text:sub(from, to)
    local words = M.words(piece, mysql)
    if words ~= "" then
      local lead = #piece:match "^%s*"
      local _, lines = text:sub(1, from + lead - 1):gsub("\n", "")
      list[#list + 1] = { text = (piece:gsub("^%s+", ""):gsub("%s+$", "")), line = lines + 1, words = words }
    end
  end
  while i <= #text do
    local behind = skip(text, i, mysql)
    if behind then i = behind
    else
      if text:sub(i, i) == ";" then
        local words = M.words(text:sub(from, i - 1), mysql)
        local body = words:find "^create .*trigger " or words:find "^create .*procedure " or words:find "^create .*function "
        if not (body and words:find "%f[%w]begin%f[%W]" and not words:find "%f[%w]end$") then
          add(i - 1)
          from = i + 1
        end
      end
      i = i + 1
    end
  end
  add(#text)
  return list
end

local risks = { -- the first that fits: words, how bad, why
  { "^drop table", "high", "drops a table" }, { "^truncate", "high", "empties a table" }, { "^drop schema", "high", "drops a schema" }, { "drop column", "high", "drops a column" },
  { "alter column %S+ type", "high", "may rewrite the table under an exclusive lock" }, { "alter column %S+ set data type", "high", "may rewrite the table under an exclusive lock" },
  { "modify column", "high", "may rewrite the table" }, { "^vacuum full", "high", "rewrites the table under an exclusive lock" }, { "^cluster", "high", "rewrites the table under an exclusive lock" },
  { "rename", "high", "what still uses the old name fails" }, { "^delete from %S+$", "high", "removes every row" },
  { "^update (.*)$", "medium", "writes every row in one transaction", function(words) return not words:find " where " end },
  { "^create .*index", "medium", "keeps writers out while it is built", function(words) return not words:find " concurrently" end },
  { "set not null", "medium", "reads the whole table under an exclusive lock" },
  { "add constraint", "medium", "reads the whole table under a lock; NOT VALID and VALIDATE CONSTRAINT apart do not", function(words) return not words:find "not valid" end },
  { "^delete", "medium", "removes rows" },
}

M.severity = { low = 1, medium = 2, high = 3 }

-- How much could go wrong with a statement: "low", "medium" or "high", and why.
function M.risk(words)
  for _, one in ipairs(risks) do
    if words:find(one[1]) and (not one[4] or one[4](words)) then return one[2], one[3] end
  end
  return "low", nil
end

-- Whether PostgreSQL refuses the statement inside of a transaction.
function M.outside(words)
  return (words:find " concurrently" and (words:find "^create" or words:find "^drop index" or words:find "^reindex"))
    or words:find "^vacuum" or words:find "^create database" or words:find "^drop database" or words:find "^alter system" or words:find "^create tablespace" or false
end

function M.controls(words)
  return words:match "^(begin)%f[%W]" or words:match "^(start transaction)" or words:match "^(commit)%f[%W]" or words:match "^(rollback)%f[%W]" or words:match "^(end)$"
end

return M
