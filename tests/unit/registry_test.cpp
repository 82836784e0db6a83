// Every function of every area, as its declaration says: a missing, wrong, extra, unknown or
// out-of-range argument has the declared message. Made from the declarations, so that a new binding
// cannot miss it: a type that this file cannot make a value of fails the test.
#include "bindings/register_all.h"
#include "tests/unit/catch.h"
#include "tests/unit/vm_fixture.h"

#include <filesystem>
#include <map>

using namespace runbook;

namespace {

/// A value that fits a type, as Lua code; objects are made before (`objects`).
const std::map<std::string, std::string> samples = {
    {"boolean", "true"},
    {"integer", "1"},
    {"number", "1"},
    {"string", "'x'"},
    {"duration", "1"},
    {"value", "1"},
    {"table", "{}"},
    {"function", "function() end"},
    {"secret", "secret_"},
    {"string|secret", "'x'"},
    {"connection", "connection_"},
    {"connection|string", "'8.0'"},
    {"pool", "pool_"},
    {"statement", "statement_"},
    {"fence", "fence_"},
    {"csv_reader", "reader_"},
    {"redis_connection", "redis_"},
};

const char* const objects = "local secret_ = secret.env 'HOME'\n"
                            "local connection_ = db.connect 'sqlite::memory:'\n"
                            "local pool_ = db.pool(connection_)\n"
                            "local statement_ = db.prepare(connection_, 'select 1')\n"
                            "local fence_ = { connection = connection_ }\n"
                            "local reader_ = csv.open 'a.csv'\n"
                            "local redis_ = redis.connect 'redis://127.0.0.1:1'\n";

/// One machine and folder for all calls; none of them may do anything.
class Calls {
  public:
    Calls() : before_(std::filesystem::current_path()) {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "runbook-registry-XXXXXX").string();
        folder_ = ::mkdtemp(pattern.data());
        std::filesystem::current_path(folder_);
        bindings::register_all(machine.state, machine.registry);
        machine.run("fs.write('a.csv', 'a\\n1\\n')");
    }
    ~Calls() {
        std::filesystem::current_path(before_);
        std::filesystem::remove_all(folder_);
    }

    /// The message of `function(arguments)`; the objects are there.
    std::string error(const std::string& function, const std::vector<std::string>& arguments) {
        std::string list;
        for (const std::string& argument : arguments)
            list += (list.empty() ? "" : ", ") + argument;
        // a function of the area called by its name, behind what makes the objects
        std::string code;
        for (const std::string& argument : arguments)
            if (argument.ends_with('_')) {
                code = objects;
                break;
            }
        const std::string message = machine.error(code + "return " + function + "(" + list + ")");
        const std::size_t place = message.find(": ");
        return message.starts_with("test.lua:") ? message.substr(place + 2) : message;
    }

    test::Machine machine;

  private:
    std::filesystem::path before_, folder_;
};

std::string sample(const vm::ParameterDoc& parameter) {
    if (parameter.type.ends_with("[]"))
        return "{ 'x' }";
    const auto found = samples.find(parameter.type);
    INFO("no sample of type '" << parameter.type << "': add one to registry_test.cpp");
    REQUIRE(found != samples.end());
    return found->second;
}

/// A value that does not fit, and how messages call it.
std::pair<std::string, std::string> misfit(const std::string& type) {
    if (type == "boolean" || type == "function")
        return {"{}", "table"};
    return {"true", "boolean"};
}

bool any(const std::string& type) {
    return type.find("value") != std::string::npos || type == "boolean|table";
}

/// The words for a type in "… expected": the list of them is the only thing that this test knows of
/// its own.
std::string words(const vm::ParameterDoc& parameter) {
    if (parameter.type.ends_with("[]"))
        return "list";
    if (!parameter.fields.empty())
        return "table of options";
    if (parameter.type == "fence")
        return "what db.write_fence returned";
    std::string type = parameter.type;
    if (const std::size_t bar = type.find('|'); bar != std::string::npos)
        type.replace(bar, 1, " or ");
    return type;
}

/// Calls `check(full name, function, samples of all its parameters, whether it takes any number)`.
template <class Check>
void each_function(Calls& calls, Check check) {
    std::size_t functions = 0;
    for (const vm::AreaDoc& area : calls.machine.registry.areas())
        for (const vm::FunctionDoc& function : area.functions) {
            std::vector<std::string> fitting;
            const bool rest = !function.parameters.empty() &&
                              function.parameters.back().name.find("...") != std::string::npos;
            for (const vm::ParameterDoc& parameter : function.parameters)
                fitting.push_back(sample(parameter));
            const std::string name =
                area.name.empty() ? function.name : area.name + "." + function.name;
            check(name, function, fitting, rest);
            ++functions;
        }
    CHECK(functions > 150);
}

std::string begin_of(const std::string& function, std::size_t i, const vm::FunctionDoc& doc) {
    return function + ": argument " + std::to_string(i + 1) + " '" + doc.parameters[i].name + "': ";
}

/// `arguments` up to parameter `i`, and then `value`.
std::vector<std::string> with(const std::vector<std::string>& arguments, std::size_t i,
                              const std::string& value) {
    std::vector<std::string> all(arguments.begin(),
                                 arguments.begin() + static_cast<std::ptrdiff_t>(i));
    all.push_back(value);
    return all;
}

} // namespace

TEST_CASE("registry: an argument too many", "[registry]") {
    Calls calls;
    each_function(calls, [&](const std::string& name, const vm::FunctionDoc& function,
                             std::vector<std::string> arguments, bool rest) {
        if (rest)
            return;
        const std::size_t most = arguments.size();
        arguments.assign(most + 1, "1");
        CHECK(calls.error(name, arguments) == name + ": takes at most " + std::to_string(most) +
                                                  " argument" +
                                                  (function.parameters.size() == 1 ? "" : "s") +
                                                  ", got " + std::to_string(most + 1));
    });
}

TEST_CASE("registry: a missing argument", "[registry]") {
    Calls calls;
    each_function(calls, [&](const std::string& name, const vm::FunctionDoc& function,
                             const std::vector<std::string>& arguments, bool) {
        for (std::size_t i = 0; i < arguments.size(); ++i) {
            if (function.parameters[i].optional)
                continue;
            const std::vector<std::string> before(
                arguments.begin(), arguments.begin() + static_cast<std::ptrdiff_t>(i));
            const std::string said = calls.error(name, before);
            INFO(name << " without '" << function.parameters[i].name << "': " << said);
            CHECK(said.starts_with(begin_of(name, i, function)));
            CHECK(said.ends_with(" expected, got nil"));
        }
    });
}

TEST_CASE("registry: an argument of another type", "[registry]") {
    Calls calls;
    each_function(calls, [&](const std::string& name, const vm::FunctionDoc& function,
                             const std::vector<std::string>& arguments, bool) {
        for (std::size_t i = 0; i < arguments.size(); ++i) {
            const vm::ParameterDoc& parameter = function.parameters[i];
            if (any(parameter.type))
                continue;
            const auto [value, called] = misfit(parameter.type);
            const std::string said = calls.error(name, with(arguments, i, value));
            INFO(name << " with " << value << " as '" << parameter.name << "': " << said);
            CHECK(said.starts_with(begin_of(name, i, function) + words(parameter)));
            CHECK(said.ends_with(" expected, got " + called));
        }
    });
}

TEST_CASE("registry: an unknown option, and options of another type", "[registry]") {
    Calls calls;
    std::size_t options = 0;
    each_function(calls, [&](const std::string& name, const vm::FunctionDoc& function,
                             const std::vector<std::string>& arguments, bool) {
        for (std::size_t i = 0; i < arguments.size(); ++i) {
            const vm::ParameterDoc& parameter = function.parameters[i];
            if (parameter.fields.empty())
                continue;
            const std::string begin = begin_of(name, i, function);
            const std::string said =
                calls.error(name, with(arguments, i, "{ no_such_option_ = 1 }"));
            CHECK(said == begin + "unknown option 'no_such_option_'");
            for (const vm::FieldDoc& field : parameter.fields) {
                if (any(field.type))
                    continue;
                ++options;
                const auto [value, called] = misfit(field.type);
                const std::string wrong =
                    calls.error(name, with(arguments, i, "{ " + field.name + " = " + value + " }"));
                INFO(name << " with " << field.name << " = " << value << ": " << wrong);
                CHECK(wrong.starts_with(begin + "option '" + field.name + "': "));
                CHECK(wrong.find(" expected") != std::string::npos);
                CHECK(wrong.find("got " + called) != std::string::npos);
            }
        }
    });
    CHECK(options > 150);
}

TEST_CASE("registry: numbers and durations that cannot be", "[registry]") {
    Calls calls;
    const std::map<std::string, std::vector<std::pair<std::string, std::string>>> impossible = {
        {"integer",
         {{"1.5", "integer expected, got a number with a fraction"},
          {"2^60", "must be from "},
          {"-2^60", "must "},
          {"1/0", "must be from "},
          {"0/0", "must be from "}}},
        {"duration",
         {{"-1", "must not be negative"},
          {"1e300", "must not be longer than 100 years"},
          {"0/0", "must not be longer than 100 years"},
          {"'200000d'", "must not be longer than 100 years"},
          {"'10 parsecs'", "'10 parsecs' is not a duration: write 30s, 10m, 2h, 7d"}}}};
    std::size_t tried = 0;
    each_function(calls, [&](const std::string& name, const vm::FunctionDoc& function,
                             const std::vector<std::string>& arguments, bool) {
        for (std::size_t i = 0; i < arguments.size(); ++i) {
            const vm::ParameterDoc& parameter = function.parameters[i];
            const std::string begin = begin_of(name, i, function);
            if (const auto found = impossible.find(parameter.type); found != impossible.end())
                for (const auto& [value, message] : found->second) {
                    const std::string said = calls.error(name, with(arguments, i, value));
                    INFO(name << " with " << value << " as '" << parameter.name << "': " << said);
                    CHECK(said.starts_with(begin + message));
                    ++tried;
                }
            for (const vm::FieldDoc& field : parameter.fields)
                if (const auto found = impossible.find(field.type); found != impossible.end())
                    for (const auto& [value, message] : found->second) {
                        const std::string said = calls.error(
                            name, with(arguments, i, "{ " + field.name + " = " + value + " }"));
                        INFO(name << " with " << field.name << " = " << value << ": " << said);
                        CHECK(said.starts_with(begin + "option '" + field.name + "': " + message));
                        ++tried;
                    }
        }
    });
    CHECK(tried > 200);
}
