-- What document_migration.lua does to the documents of each collection, in order of importance. A sample: yours stands beside your copy of the playbook.
--   transform(fields, path) gives the new fields, or nil to leave the document; it must make the same of what it has made already.
--   valid(fields, path) says whether a document is as it should be, and why not. regenerable: its failure stops nothing.
return {
  { "users", critical = true,
    transform = function(fields)
      if fields.plan then return nil end
      fields.plan = fields.premium and "gold" or "free"
      fields.premium = nil
      return fields
    end,
    valid = function(fields) return fields.plan ~= nil and fields.premium == nil, "has no plan, or still premium" end },
  { "lessons", critical = true,
    transform = function(fields)
      if fields.tags then return nil end
      fields.tags = json.array {}
      return fields
    end,
    valid = function(fields) return fields.tags ~= nil, "has no tags" end },
  { "sessions", regenerable = true,
    transform = function(fields)
      if fields.version == 2 then return nil end
      fields.version = 2
      return fields
    end,
    valid = function(fields) return fields.version == 2, "is of the old version" end },
}
