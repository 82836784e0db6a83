// One declaration, four products: argument checks, type stubs, the API reference, help() and
// completion. A binding is declared once with name, documentation and a C++ function whose
// signature gives the types. A call has three phases: check the arguments (nothing owned), work (no
// Lua API), push the results. docs/bindings.md.
#pragma once

#include "bindings/core/argument.h"
#include "bindings/core/result.h"
#include "runtime/base/error.h"
#include "runtime/vm/error_table.h"
#include "runtime/vm/registry.h"
#include "runtime/vm/scheduler.h"
#include "runtime/vm/state.h"

#include <map>
#include <tuple>

namespace runbook::bind {

/// What a native function may ask about the call: always its first parameter.
class Call {
  public:
    Call(lua_State* L, const vm::FunctionDoc& doc) : L_(L), doc_(doc) {}
    vm::Host& host() const { return vm::State::host_of(L_); }
    const vm::Permissions& permissions() const { return host().permissions(); }
    ProgressPtr progress() const { return host().progress(); }
    /// Whether the current task may change the world: db sessions are read-only where it may not.
    bool writes_allowed() const;
    /// Throws Error{`permission`} as if the function had been declared writes(), for functions that
    /// write only with certain arguments.
    void require_writes() const;
    /// Identity of the task that runs, for what belongs to one task at a time; null while the file
    /// loads.
    const void* task() const;

  private:
    lua_State* L_;
    const vm::FunctionDoc& doc_;
};

/// Work for a worker thread: return one from the C++ function and Lua code waits for it without
/// blocking the loop. Everything `work` captures must be owned by it. `push`, if set, replaces
/// Push<R> (loop thread).
template <class R>
struct Job {
    std::function<R(Cancel&)> work;
    std::shared_ptr<Worker> on = nullptr; ///< a connection's own thread; null: the pool
    std::function<int(lua_State*, R&)> push = nullptr;
};

/// Common part of every bound function.
class Function : public vm::Bound {
  public:
    Function(vm::FunctionDoc& doc, std::string full_name)
        : doc_(doc), full_name_(std::move(full_name)) {}
    int run(lua_State* L) final;

  protected:
    /// Throws Error{`argument`} where the value does not fit.
    void check(lua_State* L, std::size_t number, const Mismatch& problem) const;
    void check_count(lua_State* L, std::size_t most) const;
    virtual int call(lua_State* L) = 0;
    int park(lua_State* L, const vm::OperationPtr& operation) const;
    /// A dry run: says the call and gives an unknown value in place of its result.
    int skip(lua_State* L, bool looks);

    vm::FunctionDoc& doc_;
    std::string full_name_;
};

template <class R, class... A>
class TypedFunction final : public Function {
  public:
    using Native = std::function<R(Call&, A...)>;
    TypedFunction(vm::FunctionDoc& doc, std::string full_name, Native native)
        : Function(doc, std::move(full_name)), native_(std::move(native)) {}

  private:
    static constexpr bool has_rest = (std::is_same_v<A, Rest> || ...);

    int call(lua_State* L) override { return call(L, std::index_sequence_for<A...>()); }

    template <std::size_t... I>
    int call(lua_State* L, std::index_sequence<I...>) {
        if constexpr (!has_rest)
            check_count(L, sizeof...(A));
        (check_one<A>(L, I), ...);
        std::tuple<A...> arguments{read_one<A>(L, static_cast<int>(I) + 1)...};
        Call context(L, doc_);
        if constexpr (std::is_void_v<R>) {
            native_(context, std::move(std::get<I>(arguments))...);
            return 0;
        } else {
            return deliver(L, native_(context, std::move(std::get<I>(arguments))...));
        }
    }

    template <class T>
    void check_one(lua_State* L, std::size_t i) const {
        if constexpr (!std::is_same_v<T, Rest>)
            check(L, i, Arg<T>::mismatch(L, static_cast<int>(i) + 1));
    }

    template <class T>
    static T read_one(lua_State* L, int index) {
        if constexpr (std::is_same_v<T, Rest>) {
            Rest rest;
            for (const int top = lua_gettop(L); index <= top; ++index)
                rest.values.push_back(vm::to_value(L, index));
            return rest;
        } else {
            return Arg<T>::read(L, index);
        }
    }

    template <class T>
    int deliver(lua_State* L, T result) {
        return Push<T>::push(L, result);
    }

    template <class T>
    int deliver(lua_State* L, Job<T> job) {
        auto operation = std::make_shared<vm::Operation>();
        operation->name = full_name_;
        operation->on = std::move(job.on);
        if constexpr (std::is_void_v<T>) {
            operation->work = std::move(job.work);
        } else {
            auto result = std::make_shared<std::optional<T>>();
            operation->work = [work = std::move(job.work), result](Cancel& cancel) {
                result->emplace(work(cancel));
            };
            operation->push = [push = std::move(job.push), result](lua_State* to) {
                return push ? push(to, **result) : Push<T>::push(to, **result);
            };
        }
        return park(L, operation);
    }

    Native native_;
};

template <>
struct Job<void> {
    std::function<void(Cancel&)> work;
    std::shared_ptr<Worker> on = nullptr;
};

template <class T>
struct IsJob : std::false_type {};
template <class T>
struct IsJob<Job<T>> : std::true_type {};

/// Collects one declaration; ended by native() or lua().
class Declaration {
  public:
    Declaration(lua_State* L, vm::Registry& registry, vm::AreaDoc& area, vm::FunctionDoc& doc)
        : L_(L), registry_(registry), area_(area), doc_(doc) {}

    /// Parameters in order; the types come from the function. "..." documents Rest.
    Declaration& param(std::string name, std::string doc) {
        doc_.parameters.push_back({std::move(name), "", std::move(doc), false, {}});
        return *this;
    }
    /// For lua(): the type is said, not derived.
    Declaration& param(std::string name, std::string type, std::string doc, bool optional = false) {
        doc_.parameters.push_back({std::move(name), std::move(type), std::move(doc), optional, {}});
        return *this;
    }
    Declaration& returns(std::string type, std::string doc) {
        doc_.returns = std::move(type);
        doc_.returns_doc = std::move(doc);
        return *this;
    }
    Declaration& raises(std::vector<std::string> kinds) {
        doc_.raises = std::move(kinds);
        return *this;
    }
    /// Looks at the world.
    Declaration& reads() {
        doc_.effect = vm::Effect::reads;
        return *this;
    }
    /// Changes the world.
    Declaration& writes() {
        doc_.effect = vm::Effect::writes;
        return *this;
    }
    /// Needs no fake in a test: what it looks at is the test's own there.
    Declaration& answers_in_tests() {
        doc_.answers_in_tests = true;
        return *this;
    }
    /// Code that tests/lua runs with the lab; one or more lines.
    Declaration& example(std::string code) {
        doc_.example = std::move(code);
        return *this;
    }

    /// Installs the C++ function: `[](Call& call, std::string path) -> bool {…}`, or one that
    /// returns a Job.
    template <class Fn>
    void native(Fn fn) {
        install_native(std::function(std::move(fn)));
    }
    /// Installs the function written in Lua in bindings/AREA_NAME.lua: a chunk that gets the area's
    /// table and returns the function. It runs here, before any playbook: what it takes from the
    /// table is the host's own. It has the playbook's environment, its frames do not count as the
    /// playbook's, and its arguments are checked against their declared types before.
    void lua();

  private:
    template <class R, class... A>
    void install_native(std::function<R(Call&, A...)> fn) {
        describe<std::decay_t<A>...>();
        auto bound = std::make_unique<TypedFunction<R, std::decay_t<A>...>>(doc_, full_name(),
                                                                            std::move(fn));
        bound->waits = IsJob<R>::value;
        doc_.waits = IsJob<R>::value;
        install(registry_.keep(std::move(bound)));
    }

    template <class... A>
    void describe() {
        [[maybe_unused]] std::size_t i = 0;
        (describe_one<A>(i++), ...);
    }

    template <class T>
    void describe_one(std::size_t i) {
        if (i >= doc_.parameters.size())
            throw Error("internal", full_name() + ": a parameter without documentation");
        vm::ParameterDoc& parameter = doc_.parameters[i];
        if constexpr (std::is_same_v<T, Rest>) {
            parameter.type = "value";
            parameter.optional = true;
        } else {
            parameter.type = Arg<T>::type();
            parameter.optional = IsOptional<T>::value;
            if constexpr (Described<T>)
                for (const Field<T>& entry : Describe<T>::fields())
                    parameter.fields.push_back(
                        {entry.name, entry.type, entry.doc, !entry.required});
        }
    }

    std::string full_name() const {
        return area_.name.empty() ? doc_.name : area_.name + "." + doc_.name;
    }
    void install(vm::Bound* bound);
    void push_check();
    void install_top();

    lua_State* L_;
    vm::Registry& registry_;
    vm::AreaDoc& area_;
    vm::FunctionDoc& doc_;
};

/// One area of the language: `db`, `fs`… Its table is a global of playbooks.
class Area {
  public:
    Area(vm::State& state, vm::Registry& registry, std::string name, std::string doc);
    Declaration def(std::string name, std::string doc);

    /// Declares the userdata type T: fields and methods (functions of this area whose first
    /// parameter is the object).
    template <NamedType T>
    class Type {
      public:
        using Getter = std::function<Pushed(const std::shared_ptr<T>&)>;
        Type(lua_State* L, vm::TypeDoc& doc) : L_(L), doc_(doc) {}
        template <class Fn>
        Type& field(std::string name, std::string type, std::string doc, Fn get) {
            doc_.fields.push_back({name, std::move(type), std::move(doc), false});
            getters()[std::move(name)] = [get](lua_State* L, const std::shared_ptr<T>& object) {
                using R = std::decay_t<decltype(get(*object))>;
                return Push<R>::push(L, get(*object));
            };
            return *this;
        }
        /// `object:name(…)` calls the area's function `name`; declare that first.
        Type& method(std::string name) {
            doc_.methods.push_back({name,
                                    "see the function of the same name",
                                    {},
                                    "",
                                    "",
                                    {},
                                    vm::Effect::none,
                                    false,
                                    ""});
            methods().push_back(std::move(name));
            return *this;
        }
        /// Puts the metatable in place; last.
        void done(const std::string& area_name);

      private:
        using Getters =
            std::map<std::string, std::function<int(lua_State*, const std::shared_ptr<T>&)>>;
        static Getters& getters() {
            static Getters getters;
            return getters;
        }
        static std::vector<std::string>& methods() {
            static std::vector<std::string> methods;
            return methods;
        }
        static int index(lua_State* L);
        lua_State* L_;
        vm::TypeDoc& doc_;
    };

    template <NamedType T>
    Type<T> type(std::string doc) {
        area_.types.push_back({TypeName<T>::name, std::move(doc), {}, {}});
        return Type<T>(L_, area_.types.back());
    }

  private:
    lua_State* L_;
    vm::Registry& registry_;
    vm::AreaDoc& area_;
};

/// Pushes the area's function, or raises the error that names the nearest field.
int no_such_field(lua_State* L, const char* type, std::vector<std::string> names);

template <NamedType T>
int Area::Type<T>::index(lua_State* L) {
    int results = -1;
    {
        auto* object = vm::get_shared<T>(L, 1, Arg<std::shared_ptr<T>>::metatable().c_str());
        const std::string key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
        if (auto getter = getters().find(key); object && getter != getters().end()) {
            try {
                results = getter->second(L, *object);
            } catch (const Error& error) {
                vm::push_error(L, error);
            }
        } else {
            for (const std::string& method : methods()) {
                if (method != key)
                    continue;
                lua_pushvalue(L, lua_upvalueindex(1)); // the area's table
                lua_getfield(L, -1, key.c_str());
                results = 1;
            }
            if (results < 0) {
                std::vector<std::string> names = methods();
                for (const auto& entry : getters())
                    names.push_back(entry.first);
                no_such_field(L, TypeName<T>::name, std::move(names));
            }
        }
    }
    return results >= 0 ? results : lua_error(L);
}

template <NamedType T>
void Area::Type<T>::done(const std::string& area_name) {
    const std::string metatable = Arg<std::shared_ptr<T>>::metatable();
    vm::new_shared_metatable<T>(L_, metatable.c_str());
    lua_pushstring(L_, TypeName<T>::name);
    lua_setfield(L_, -2, "__name");
    lua_getfield(L_, LUA_REGISTRYINDEX, "runbook.sandbox");
    lua_pushlstring(L_, area_name.data(), area_name.size());
    lua_rawget(L_, -2);
    lua_remove(L_, -2);
    lua_pushcclosure(L_, index, 1);
    lua_setfield(L_, -2, "__index");
    lua_pop(L_, 1);
}

} // namespace runbook::bind
