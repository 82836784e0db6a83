#include "bindings/register_all.h"

#include "bindings/backup.h"
#include "bindings/copy.h"
#include "bindings/crypto.h"
#include "bindings/csv.h"
#include "bindings/db.h"
#include "bindings/fs.h"
#include "bindings/http.h"
#include "bindings/json.h"
#include "bindings/log.h"
#include "bindings/net.h"
#include "bindings/notify.h"
#include "bindings/redis.h"
#include "bindings/secret.h"
#include "bindings/sh.h"
#include "bindings/ssh.h"
#include "bindings/system.h"
#include "bindings/template.h"
#include "bindings/time.h"
#include "bindings/tls.h"
#include "bindings/toml.h"
#include "bindings/value_types.h"
#include "bindings/verify.h"
#include "bindings/yaml.h"

namespace runbook::bindings {

void register_all(vm::State& state, vm::Registry& registry) {
    register_db(state, registry);
    register_backup(state, registry);
    register_verify(state, registry);
    register_schema(state, registry);
    register_fs(state, registry);
    register_http(state, registry);
    register_json(state, registry);
    register_log(state, registry);
    register_notify(state, registry);
    register_secret(state, registry);
    register_sh(state, registry);
    register_ssh(state, registry);
    register_system(state, registry);
    register_time(state, registry);
    register_copy(state, registry);
    register_crypto(state, registry);
    register_net(state, registry);
    register_tls(state, registry);
    register_csv(state, registry);
    register_redis(state, registry);
    register_template(state, registry);
    register_toml(state, registry);
    register_yaml(state, registry);
    register_values(state, registry);
}

} // namespace runbook::bindings
