"""Names of [connections] in runbook.toml as parameters of type database."""

PLAYBOOK = '''
local p = playbook "named" { params = { shop = { "database", access = "write", required = true } } }
step "look" { run = function() return db.value(p.shop, "select 7") end }
'''


def site(tmp_path, settings):
    (tmp_path / "named.lua").write_text(PLAYBOOK)
    (tmp_path / "runbook.toml").write_text("[connections]\n" + settings)
    return str(tmp_path / "named.lua")


def test_a_name_stands_for_its_url(runbook, tmp_path):
    file = site(tmp_path, f'prod = "sqlite:{tmp_path}/shop.db"\n')
    result = runbook("exec", file, "--shop", "prod")
    assert result.exit == 0, result.out + result.err


def test_a_name_that_is_not_there_names_the_nearest(runbook, tmp_path):
    file = site(tmp_path, f'prod = "sqlite:{tmp_path}/shop.db"\n')
    result = runbook("exec", file, "--shop", "prd")
    assert result.exit == 2
    assert "parameter --shop: no connection 'prd' in runbook.toml (did you mean 'prod'?)" in result.err


def test_an_access_beyond_what_the_file_allows_is_refused(runbook, tmp_path):
    file = site(tmp_path, f'prod = {{ url = "sqlite:{tmp_path}/shop.db", access = "read" }}\n')
    result = runbook("exec", file, "--shop", "prod")
    assert result.exit == 2
    assert "connection 'prod' of runbook.toml is for access = \"read\", and the playbook declares access = \"write\"" in result.err


def test_a_password_that_is_not_set_is_said_before_anything_runs(runbook, tmp_path):
    file = site(tmp_path, 'prod = { url = "postgres://app@127.0.0.1:1/shop", password = "env:NO_SUCH_PASSWORD" }\n')
    result = runbook("exec", file, "--shop", "prod")
    assert result.exit == 2
    assert "connection 'prod' of runbook.toml: " in result.err and "NO_SUCH_PASSWORD" in result.err
