// Translation of PostgreSQL's CHECK expressions, by a list of what surely means the same in MySQL
// (see text.h). A pure function; anything it does not know ends the translation.
#include "runtime/transfer/schema/text.h"

#include "runtime/base/text.h"

#include <array>
#include <exception>
#include <utility>
#include <vector>

namespace runbook::schema {
namespace {

struct Unknown : std::exception {};

enum class Kind : std::uint8_t { end, word, name, number, string, symbol };

struct Token {
    Kind kind = Kind::end;
    std::string text;
};

/// Longest first, where one begins another.
constexpr std::array<std::string_view, 23> symbols = {
    "!~~*", "~~*", "!~~", "::", "<=", ">=", "<>", "!=", "~~", "||", "(", ")",
    "[",    "]",   ",",   "=",  "<",  ">",  "+",  "-",  "*",  "%",  "."};

bool begins_word(char c) {
    return isalpha(static_cast<unsigned char>(c)) || c == '_' || c < 0;
}
bool in_word(char c) {
    return begins_word(c) || isdigit(static_cast<unsigned char>(c)) || c == '$';
}

std::vector<Token> tokens(std::string_view text) {
    std::vector<Token> out;
    std::size_t at = 0;
    while (at < text.size()) {
        char c = text[at];
        if (c == ' ' || c == '\n' || c == '\t') {
            ++at;
        } else if (c == '\'' || c == '"') {
            std::string value;
            for (++at;; ++at) {
                if (at >= text.size())
                    throw Unknown();
                if (text[at] == c && (at + 1 >= text.size() || text[at + 1] != c))
                    break;
                if (text[at] == c)
                    ++at;
                value += text[at];
            }
            ++at;
            out.push_back({c == '"' ? Kind::name : Kind::string, value});
        } else if (isdigit(static_cast<unsigned char>(c))) {
            std::size_t begin = at;
            while (at < text.size() &&
                   (isdigit(static_cast<unsigned char>(text[at])) || text[at] == '.'))
                ++at;
            out.push_back({Kind::number, std::string(text.substr(begin, at - begin))});
        } else if (begins_word(c)) {
            std::size_t begin = at;
            while (at < text.size() && in_word(text[at]))
                ++at;
            // E'…' and B'…' have rules of their own.
            if (at < text.size() && text[at] == '\'')
                throw Unknown();
            out.push_back({Kind::word, std::string(text.substr(begin, at - begin))});
        } else {
            bool known = false;
            for (std::string_view symbol : symbols) {
                if (!text.substr(at).starts_with(symbol))
                    continue;
                out.push_back({Kind::symbol, std::string(symbol)});
                at += symbol.size();
                known = true;
                break;
            }
            if (!known)
                throw Unknown();
        }
    }
    return out;
}

/// A part of the expression, and what is known about it.
struct Piece {
    std::string sql;
    bool is_string = false; ///< a string literal, not yet written
    bool is_column = false, is_integer = false, is_condition = false, is_boolean_column = false;
    bool is_fraction = false; ///< a column that a cast to an integer would round
    bool is_text = false;     ///< gives a text
};

class Translator {
  public:
    Translator(const catalog::Table& table, std::string_view text, std::string collation,
               std::string_view value, const Names& names)
        : table_(table), tokens_(tokens(text)), collation_(std::move(collation)), value_(value),
          names_(names) {}

    std::string translate() {
        Piece piece = condition(disjunction());
        if (peek().kind != Kind::end)
            throw Unknown();
        return piece.sql;
    }

    Translated translate_value() {
        Piece piece = joined();
        if (peek().kind != Kind::end || piece.is_condition)
            throw Unknown();
        return {written(piece), columns_, piece.is_text || piece.is_string};
    }

  private:
    const Token& peek(std::size_t ahead = 0) const {
        static const Token end;
        return at_ + ahead < tokens_.size() ? tokens_[at_ + ahead] : end;
    }
    bool is_word(std::string_view word, std::size_t ahead = 0) const {
        return peek(ahead).kind == Kind::word && text::lower(peek(ahead).text) == word;
    }
    bool is_symbol(std::string_view symbol) const {
        return peek().kind == Kind::symbol && peek().text == symbol;
    }
    bool take_word(std::string_view word) {
        bool here = is_word(word);
        at_ += here;
        return here;
    }
    bool take(std::string_view symbol) {
        bool here = is_symbol(symbol);
        at_ += here;
        return here;
    }
    void need(std::string_view symbol) {
        if (!take(symbol))
            throw Unknown();
    }

    std::string written(const Piece& piece, bool collate = false) const {
        if (!piece.is_string)
            return piece.sql;
        std::string text = mysql_string(piece.sql);
        return collate && !collation_.empty() ? text + " COLLATE " + collation_ : text;
    }
    Piece condition(Piece piece) const {
        if (piece.is_boolean_column)
            return {"(" + piece.sql + " <> 0)", false, false, false, true, false};
        if (!piece.is_condition)
            throw Unknown();
        return piece;
    }

    Piece disjunction() {
        Piece left = conjunction();
        while (take_word("or"))
            left = {condition(left).sql + " OR " + condition(conjunction()).sql,
                    false,
                    false,
                    false,
                    true,
                    false};
        return left;
    }
    Piece conjunction() {
        Piece left = negation();
        while (take_word("and"))
            left = {condition(left).sql + " AND " + condition(negation()).sql,
                    false,
                    false,
                    false,
                    true,
                    false};
        return left;
    }
    Piece negation() {
        if (take_word("not"))
            return {"NOT " + condition(negation()).sql, false, false, false, true, false};
        return comparison();
    }

    Piece comparison() {
        Piece left = sum();
        if (take_word("is")) {
            std::string sql = written(left) + " IS ";
            if (take_word("not"))
                sql += "NOT ";
            if (take_word("null"))
                return {sql + "NULL", false, false, false, true, false};
            if (take_word("true"))
                return {sql + "TRUE", false, false, false, true, false};
            if (take_word("false"))
                return {sql + "FALSE", false, false, false, true, false};
            throw Unknown();
        }
        for (std::string_view symbol : {"<=", ">=", "<>", "!=", "=", "<", ">", "~~", "!~~"}) {
            if (!take(symbol))
                continue;
            if (is_word("any") || is_word("all"))
                return membership(left, symbol);
            if (symbol.find('~') != std::string_view::npos)
                return like(left, symbol == "!~~");
            Piece right = sum();
            return {written(left, true) + " " + std::string(symbol) + " " + written(right, true),
                    false,
                    false,
                    false,
                    true,
                    false};
        }
        return left;
    }

    // LIKE of MySQL follows the collation; a backslash escapes in both.
    Piece like(const Piece& left, bool negated) {
        Piece right = sum();
        if (!right.is_string)
            throw Unknown();
        return {written(left) + (negated ? " NOT LIKE " : " LIKE ") + written(right, true),
                false,
                false,
                false,
                true,
                false};
    }

    // x = ANY (ARRAY['a'::text, …]) and x <> ALL (ARRAY[…]) are IN and NOT IN.
    Piece membership(const Piece& left, std::string_view symbol) {
        bool any = take_word("any");
        if (!any)
            take_word("all");
        if (!((any && symbol == "=") || (!any && (symbol == "<>" || symbol == "!="))))
            throw Unknown();
        need("(");
        bool nested = take("(");
        if (!take_word("array"))
            throw Unknown();
        need("[");
        std::string items;
        do {
            items += (items.empty() ? "" : ", ") + written(sum(), true);
        } while (take(","));
        need("]");
        if (nested)
            need(")");
        cast_types(true);
        need(")");
        return {written(left) + (any ? " IN (" : " NOT IN (") + items + ")",
                false,
                false,
                false,
                true,
                false};
    }

    // a || b is CONCAT there; NULL of either gives NULL on both sides.
    Piece joined() {
        Piece left = sum();
        while (take("||")) {
            Piece right = sum();
            if (!(left.is_text || left.is_string) || !(right.is_text || right.is_string))
                throw Unknown();
            left = {"CONCAT(" + written(left) + ", " + written(right) + ")"};
            left.is_text = true;
        }
        return left;
    }

    Piece sum() {
        Piece left = product();
        while (is_symbol("+") || is_symbol("-")) {
            std::string symbol = tokens_[at_++].text;
            left = {number(left) + " " + symbol + " " + number(product())};
        }
        return left;
    }
    // Division is another one in MySQL: integers become decimals.
    Piece product() {
        Piece left = signed_part();
        while (is_symbol("*") || is_symbol("%")) {
            std::string symbol = tokens_[at_++].text;
            left = {number(left) + " " + symbol + " " + number(signed_part())};
        }
        return left;
    }
    // Arithmetic over moments and texts has other rules there.
    std::string number(const Piece& piece) const {
        if (piece.is_string || piece.is_condition || (piece.is_column && !piece.is_integer))
            throw Unknown();
        return piece.sql;
    }
    Piece signed_part() {
        if (take("-"))
            return {"-" + number(signed_part())};
        return casted();
    }

    Piece casted() {
        Piece piece = primary();
        while (is_symbol("::")) {
            std::string type = cast_types(false);
            bool harmless = type == "text" || type == "character varying" || type == "bpchar" ||
                            type == "numeric" || type == "double precision" || type == "date" ||
                            (piece.is_column && type == "citext");
            bool integer = type == "integer" || type == "bigint" || type == "smallint";
            if (piece.is_string) {
                if (integer || type == "numeric" || type == "double precision")
                    piece = {piece.sql, false, false, true};
                else if (type == "date" || type.starts_with("timestamp without"))
                    piece = {mysql_string(piece.sql)};
                else if (!harmless && !is_label_type(type))
                    throw Unknown();
                continue;
            }
            if (integer && piece.is_fraction)
                throw Unknown();
            if (integer && (piece.is_integer || !piece.is_column) && !piece.is_condition)
                continue;
            if (!harmless && !(piece.is_column && is_label_type(type)))
                throw Unknown();
        }
        return piece;
    }
    bool is_label_type(const std::string& type) const {
        for (const catalog::Column& column : table_.columns)
            if (column.type == catalog::Type::enumeration && column.engine_type == type)
                return true;
        return false;
    }
    /// The type named by the casts here, lower case, without its modifier.
    std::string cast_types(bool array) {
        std::string type;
        while (take("::")) {
            type.clear();
            while (peek().kind == Kind::word || peek().kind == Kind::name || is_symbol(".")) {
                if (!type.empty() && (is_word("and") || is_word("or") || is_word("is")))
                    break;
                bool dot = is_symbol(".") || type.ends_with('.');
                type += (type.empty() || dot ? "" : " ") + peek().text;
                ++at_;
            }
            if (take("(")) {
                ++at_;
                if (take(","))
                    ++at_;
                need(")");
            }
            while (take("[")) {
                need("]");
                if (!array)
                    throw Unknown();
            }
            if (!array)
                break;
        }
        return text::lower(type);
    }

    Piece primary() {
        Token token = peek();
        ++at_;
        switch (token.kind) {
        case Kind::number:
            return {token.text, false, false, token.text.find('.') == std::string::npos};
        case Kind::string:
            return {token.text, true};
        case Kind::symbol: {
            if (token.text != "(")
                throw Unknown();
            Piece inner = disjunction();
            if (is_symbol("||")) {
                if (!(inner.is_text || inner.is_string))
                    throw Unknown();
                while (take("||")) {
                    Piece right = sum();
                    if (!(right.is_text || right.is_string))
                        throw Unknown();
                    inner = {"CONCAT(" + written(inner) + ", " + written(right) + ")"};
                    inner.is_text = true;
                }
            }
            need(")");
            if (!inner.is_string)
                inner.sql = "(" + inner.sql + ")";
            return inner;
        }
        case Kind::word:
            if (is_symbol("("))
                return function(text::lower(token.text));
            if (std::string word = text::lower(token.text); word == "true" || word == "false")
                return {word == "true" ? "TRUE" : "FALSE", false, false, false, true};
            if (!value_.empty() && token.text == "VALUE")
                return column(std::string(value_));
            return column(token.text);
        case Kind::name:
            return column(token.text);
        case Kind::end:
            break;
        }
        throw Unknown();
    }

    Piece column(const std::string& name) {
        const catalog::Column* column = table_.column(name);
        if (!column)
            throw Unknown();
        using catalog::Type;
        auto renamed = names_.find(name);
        Piece piece{mysql_name(renamed == names_.end() ? name : renamed->second)};
        columns_.push_back(name);
        piece.is_column = true;
        piece.is_boolean_column = column->type == Type::boolean;
        switch (column->type) {
        case Type::int16:
        case Type::int32:
        case Type::int64:
            piece.is_integer = true;
            break;
        case Type::numeric:
        case Type::float64:
            piece.is_integer = piece.is_fraction = true;
            break;
        case Type::text:
        case Type::varchar:
        case Type::character:
        case Type::citext:
            piece.is_text = true;
            break;
        case Type::boolean:
        case Type::enumeration:
        case Type::date:
        case Type::timestamp:
            break;
        default:
            // IS NULL would be the same for all, but a cast or a comparison would not.
            throw Unknown();
        }
        return piece;
    }

    Piece coalesce() {
        need("(");
        std::string list;
        bool text = true;
        do {
            Piece piece = joined();
            text = text && (piece.is_text || piece.is_string);
            list += (list.empty() ? "" : ", ") + written(piece);
        } while (take(","));
        need(")");
        Piece piece{"COALESCE(" + list + ")"};
        piece.is_text = text;
        return piece;
    }

    Piece function(const std::string& name) {
        if (name == "coalesce")
            return coalesce();
        static constexpr std::array<std::pair<std::string_view, std::string_view>, 8> known = {
            {{"length", "CHAR_LENGTH"},
             {"char_length", "CHAR_LENGTH"},
             {"character_length", "CHAR_LENGTH"},
             {"octet_length", "LENGTH"},
             {"lower", "LOWER"},
             {"upper", "UPPER"},
             {"btrim", "TRIM"},
             {"abs", "ABS"}}};
        for (const auto& [from, to] : known) {
            if (from != name)
                continue;
            need("(");
            Piece inner = joined();
            need(")");
            Piece piece{std::string(to) + "(" + written(inner) + ")"};
            piece.is_text = name == "lower" || name == "upper" || name == "btrim";
            return piece;
        }
        throw Unknown();
    }

    const catalog::Table& table_;
    std::vector<Token> tokens_;
    std::size_t at_ = 0;
    std::string collation_;
    std::string_view value_;
    const Names& names_;
    std::vector<std::string> columns_;
};

} // namespace

std::optional<std::string> translate_check(const catalog::Table& table, std::string_view expression,
                                           const std::string& binary_collation,
                                           std::string_view value_column, const Names& names) {
    try {
        return Translator(table, expression, binary_collation, value_column, names).translate();
    } catch (const Unknown&) {
        return std::nullopt;
    }
}

std::optional<Translated> translate_value(const catalog::Table& table, std::string_view expression,
                                          const Names& names) {
    try {
        return Translator(table, expression, {}, {}, names).translate_value();
    } catch (const Unknown&) {
        return std::nullopt;
    }
}

} // namespace runbook::schema
