---@meta git
-- Generated from the declarations in stdlib/.

---A working copy on this host, through git. In a playbook: `local git = require "git"`, and `needs = { shell = { "git" } }`.
---@class gitlib
local git = {}

---The commit that is checked out, or that of a tag, branch or other name.
---@param dir string the working copy
---@param name? string HEAD where it is left out
---@return string 40 or 64 hexadecimal digits
function git.commit(dir, name) end

---The branch that is checked out.
---@param dir string the working copy
---@return string? nil for a commit without one
function git.branch(dir) end

---What is not committed.
---@param dir string the working copy
---@return string[] one path an entry; empty where the working copy is clean
function git.changes(dir) end

---Whether everything is committed.
---@param dir string the working copy
---@return boolean true if it is
function git.clean(dir) end

---@class git.fetch.options
---@field timeout? string|number how long it may take (5m)

---Fetches from a remote, tags too.
---@param dir string the working copy
---@param remote? string its name (origin)
---@param options? git.fetch.options how long
function git.fetch(dir, remote, options) end

---Checks out a commit, tag or branch. Refused where files are changed: they would go along or be lost.
---@param dir string the working copy
---@param name string commit, tag or branch
---@return string the commit that is then checked out
function git.checkout(dir, name) end

return git
