// The value that every layer can hold: what Lua, the databases, the journal and JSON exchange.
// Owns: the types and their comparison. Any thread; a Value is plain data. Never touches Lua or a
// driver.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace runbook {

class Secret;

/// SQL NULL, JSON null; the `null` sentinel of the playbook language.
struct Null {
    bool operator==(const Null&) const = default;
};

/// Exact decimal, canonical text: optional minus, digits, optional fraction; never an exponent.
struct Decimal {
    std::string text;
    bool operator==(const Decimal&) const = default;
};

/// Microseconds since 1970-01-01 00:00 UTC. `offset` is the zone the source showed, in seconds east
/// of UTC; empty for a timestamp without a zone (then `micros` counts the wall clock as if it were
/// UTC).
struct Timestamp {
    std::int64_t micros = 0;
    std::optional<std::int32_t> offset;
    bool operator==(const Timestamp&) const = default;
};

/// Raw octets, as opposed to text.
struct Bytes {
    std::string data;
    bool operator==(const Bytes&) const = default;
};

/// What stands in a journaled result for something that cannot be stored (`function run`,
/// `connection prod`).
struct Opaque {
    std::string what;
    bool operator==(const Opaque&) const = default;
};

class Value;
using List = std::vector<Value>;

/// Insertion-ordered string map. Small: look-ups are linear.
class Map {
  public:
    Map() = default;
    Map(std::initializer_list<std::pair<std::string, Value>> entries);
    /// Takes entries whose keys differ; for readers that know it, without set()'s search.
    static Map of(std::vector<std::pair<std::string, Value>> entries);

    const Value* find(std::string_view key) const;
    Value* find(std::string_view key);
    /// Sets or replaces; returns *this for chaining.
    Map& set(std::string key, Value value);
    void erase(std::string_view key);
    bool contains(std::string_view key) const { return find(key) != nullptr; }
    /// The text, integer or number under `key`, or `otherwise` where it is absent or of another
    /// type.
    std::string text(std::string_view key, std::string otherwise = {}) const;
    std::int64_t integer(std::string_view key, std::int64_t otherwise = 0) const;
    double number(std::string_view key, double otherwise = 0) const;
    bool boolean(std::string_view key, bool otherwise = false) const;

    bool empty() const;
    std::size_t size() const;
    std::vector<std::pair<std::string, Value>>::const_iterator begin() const;
    std::vector<std::pair<std::string, Value>>::const_iterator end() const;
    bool operator==(const Map&) const;

  private:
    std::vector<std::pair<std::string, Value>> entries_;
};

using SecretPtr = std::shared_ptr<const Secret>;

class Value {
  public:
    using Variant = std::variant<Null, bool, std::int64_t, double, std::string, Bytes, Decimal,
                                 Timestamp, Opaque, SecretPtr, List, Map>;

    Value() = default;
    Value(Null) {}
    Value(bool v) : v_(v) {}
    Value(int v) : v_(std::int64_t{v}) {}
    Value(long v) : v_(std::int64_t{v}) {}
    Value(long long v) : v_(std::int64_t{v}) {}
    Value(unsigned v) : v_(std::int64_t{v}) {}
    Value(unsigned long v) : v_(static_cast<std::int64_t>(v)) {}
    Value(unsigned long long v) : v_(static_cast<std::int64_t>(v)) {}
    Value(double v) : v_(v) {}
    Value(const char* v) : v_(std::string(v)) {}
    Value(std::string_view v) : v_(std::string(v)) {}
    Value(std::string v) : v_(std::move(v)) {}
    Value(Bytes v) : v_(std::move(v)) {}
    Value(Decimal v) : v_(std::move(v)) {}
    Value(Timestamp v) : v_(v) {}
    Value(Opaque v) : v_(std::move(v)) {}
    Value(SecretPtr v) : v_(std::move(v)) {}
    Value(List v) : v_(std::move(v)) {}
    Value(Map v) : v_(std::move(v)) {}

    bool is_null() const { return std::holds_alternative<Null>(v_); }
    template <class T>
    const T* get() const {
        return std::get_if<T>(&v_);
    }
    template <class T>
    T* get() {
        return std::get_if<T>(&v_);
    }
    const Variant& variant() const { return v_; }
    /// The word used in messages: null, boolean, integer, number, string, bytes, decimal,
    /// timestamp…
    std::string_view type_name() const;
    bool operator==(const Value& other) const;

  private:
    Variant v_;
};

} // namespace runbook
