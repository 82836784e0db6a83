// `csv`: the Lua face of runtime/formats/csv. Loop thread; files are read on a worker, in batches.
#include "bindings/csv.h"

#include "bindings/core/declare.h"
#include "runtime/formats/csv.h"

namespace runbook::bindings {
namespace {

struct CsvOptions {
    std::string separator = ",";
    bool header = true;
};
struct CsvWriteOptions : CsvOptions {
    std::vector<std::string> columns;
};

template <class T>
std::vector<bind::Field<T>> format_fields() {
    const auto as = [](auto CsvOptions::*member) {
        return static_cast<std::remove_reference_t<decltype(std::declval<T>().*member)> T::*>(
            member);
    };
    return {bind::field("separator", as(&CsvOptions::separator), "one character; a comma"),
            bind::field("header", as(&CsvOptions::header),
                        "false: the first record holds no names; records are then lists")};
}

} // namespace
} // namespace runbook::bindings

namespace runbook::bind {
template <>
struct TypeName<csv::Reader> {
    static constexpr const char* name = "csv_reader";
};
template <>
struct Describe<bindings::CsvOptions> {
    static const std::vector<Field<bindings::CsvOptions>>& fields() {
        static const auto all = bindings::format_fields<bindings::CsvOptions>();
        return all;
    }
};
template <>
struct Describe<bindings::CsvWriteOptions> {
    static const std::vector<Field<bindings::CsvWriteOptions>>& fields() {
        static const auto all = [] {
            auto list = bindings::format_fields<bindings::CsvWriteOptions>();
            list.push_back(field("columns", &bindings::CsvWriteOptions::columns,
                                 "fields in their order; those of the first record"));
            return list;
        }();
        return all;
    }
};
} // namespace runbook::bind

namespace runbook::bindings {
namespace {

csv::Format format_of(const CsvOptions& options) {
    const std::string& separator = options.separator;
    if (separator.size() != 1 || separator.find_first_of("\"\r\n") == 0)
        throw Error("argument", "option 'separator': one character expected that is neither a "
                                "quote nor a line end, got '" +
                                    separator + "'");
    return {separator.front(), options.header};
}

bind::Pushed pushed(List records) {
    return [records = std::move(records)](lua_State* L) {
        vm::push_value(L, Value(records), false);
        return 1;
    };
}

} // namespace

void register_csv(vm::State& state, vm::Registry& registry) {
    bind::Area csv(state, registry, "csv",
                   "CSV text (RFC 4180). Fields are text; with a header, records are tables by its "
                   "names.");
    csv.def("decode", "The records of a CSV text.")
        .param("text", "CSV")
        .param("options", "its form")
        .returns("table[]", "records, name = text; without a header lists of texts")
        .raises({"csv", "argument"})
        .example("assert(csv.decode('a,b\\n1,\"x, y\"\\n')[1].b == 'x, y')")
        .native([](bind::Call&, std::string text, CsvOptions options) {
            return pushed(csv::Reader::of_text(std::move(text), format_of(options)).next(SIZE_MAX));
        });
    csv.def("encode", "Records as CSV text; null is an empty field.")
        .param("records", "list of tables: name = value, or lists of values")
        .param("options", "its form")
        .returns("string", "CSV; lines end in CRLF, as RFC 4180 says")
        .raises({"argument"})
        .example("assert(csv.encode { { a = 1, b = 'x\"y' } } == 'a,b\\r\\n1,\"x\"\"y\"\\r\\n')")
        .native([](bind::Call&, Value records, CsvWriteOptions options) {
            if (const auto* map = records.get<Map>(); map && map->empty())
                records = List{};
            const auto* list = records.get<List>();
            if (!list)
                throw Error("argument", "csv.encode: argument 1 'records': list expected, got " +
                                            std::string(records.type_name()));
            return csv::dump(*list, options.columns, format_of(options));
        });
    csv.def("open", "A reader of a file; csv.rows is easier.")
        .param("path", "file")
        .param("options", "its form")
        .returns("csv_reader", "for csv.next")
        .raises({"fs", "permission", "argument"})
        .reads()
        .example("fs.write('a.csv', 'a\\n1\\n')\nassert(csv.open('a.csv'))")
        .native([](bind::Call& call, std::string path,
                   CsvOptions options) -> bind::Job<std::shared_ptr<csv::Reader>> {
            call.permissions().check_file(path);
            return {[path, format = format_of(options)](Cancel&) {
                return std::make_shared<csv::Reader>(csv::Reader::of_file(path, format));
            }};
        });
    csv.def("next", "The next records of a reader.")
        .param("reader", "from csv.open; used by one task at a time")
        .param("count", "how many at most")
        .returns("table[]", "fewer, or none, at the end")
        .raises({"csv", "fs"})
        .reads()
        .example("fs.write('a.csv', 'a\\n1\\n')\n"
                 "assert(csv.next(csv.open 'a.csv', 10)[1].a == '1')")
        .native([](bind::Call&, std::shared_ptr<csv::Reader> reader,
                   std::int64_t count) -> bind::Job<List> {
            if (count < 1)
                throw Error("argument", "csv.next: argument 2 'count': at least 1 expected, got " +
                                            std::to_string(count));
            return {
                [reader, count](Cancel&) { return reader->next(static_cast<std::size_t>(count)); },
                nullptr,
                [](lua_State* L, List& records) {
                    vm::push_value(L, Value(records), false);
                    return 1;
                }};
        });
    csv.type<csv::Reader>("A file of records, read as it is needed.").method("next").done("csv");
    csv.def("rows", "Iterates over the records of a file of any size.")
        .param("path", "string", "file")
        .param("options", "table", "its form, as for csv.decode", true)
        .returns("function", "for record in csv.rows(path) do … end")
        .raises({"csv", "fs", "permission", "argument"})
        .example("fs.write('a.csv', 'a\\n1\\n2\\n')\nlocal sum = 0\n"
                 "for record in csv.rows 'a.csv' do sum = sum + tonumber(record.a) end\n"
                 "assert(sum == 3)")
        .lua();
}

} // namespace runbook::bindings
