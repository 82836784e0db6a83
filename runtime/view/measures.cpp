// Goals and monitors of the model (contract in model.h). Reads leniently: a field that is not there
// is unknown.
#include "runtime/base/quantity.h"
#include "runtime/view/model.h"
#include "runtime/view/words.h"

#include <algorithm>
#include <cmath>

namespace runbook::view {
namespace {

bool number_of(const Value& value, double& out) {
    if (const auto* integer = value.get<std::int64_t>())
        out = static_cast<double>(*integer);
    else if (const auto* number = value.get<double>())
        out = *number;
    else if (const auto* flag = value.get<bool>())
        out = *flag ? 1 : 0;
    else
        return false;
    return std::isfinite(out);
}

std::string first_of(const Map& data, std::initializer_list<const char*> keys) {
    for (const char* key : keys)
        if (std::string text = data.text(key); !text.empty())
            return text;
    return {};
}

Series& series_of(Monitor& monitor, const std::string& metric) {
    for (Series& one : monitor.series)
        if (one.metric == metric)
            return one;
    return monitor.series.emplace_back(Series{metric, {}, {}, {}, {}});
}

void add_limit(Series& series, const Value* limit, const std::string& severity) {
    double value = 0;
    if (!limit || !number_of(*limit, value))
        return;
    const bool there =
        std::any_of(series.limits.begin(), series.limits.end(), [&](const Limit& one) {
            return one.value == value && one.severity == severity;
        });
    if (!there)
        series.limits.push_back({value, severity});
}

/// One measured value; what is not a number is a gap.
void add_sample(Monitor& monitor, std::int64_t micros, const std::string& metric,
                const Value& value, const Map& about) {
    Series& series = series_of(monitor, metric);
    double number = 0;
    if (number_of(value, number))
        series.samples.emplace_back(micros, number);
    else {
        ++monitor.gaps;
        series.gaps.push_back(micros);
    }
    for (const char* key : {"limit", "above", "below"})
        add_limit(series, about.find(key), about.text("severity"));
}

void add_look(Monitor& monitor, const journal::Event& event) {
    const Map& data = event.data;
    ++monitor.looks;
    if (const Value* missing = data.find("x"))
        if (const Map* map = missing->get<Map>())
            for (const auto& [metric, why] : *map)
                add_sample(monitor, event.micros, metric, Value(), {});
    const Value* values = nullptr;
    for (const char* key : {"v", "values", "samples"})
        if (!values)
            values = data.find(key);
    if (!values && data.contains("x"))
        return;
    if (const Map* map = values ? values->get<Map>() : nullptr) {
        for (const auto& [metric, value] : *map)
            add_sample(monitor, event.micros, metric, value, {});
        return;
    }
    if (const List* list = values ? values->get<List>() : nullptr) {
        for (const Value& entry : *list)
            if (const Map* one = entry.get<Map>()) {
                const Value* value = one->find("value");
                add_sample(monitor, event.micros, first_of(*one, {"metric", "name", "rule"}),
                           value ? *value : Value(), *one);
            }
        return;
    }
    const Value* value = data.find("value");
    add_sample(monitor, event.micros, first_of(data, {"metric", "rule", "series"}),
               value ? *value : Value(), data);
}

/// The limits that the monitor's rules have, for the picture.
void read_limits(Monitor& monitor, const Map& data) {
    const Value* rules = data.find("rules");
    const List* list = rules ? rules->get<List>() : nullptr;
    for (const Value& rule : list ? *list : List{}) {
        const Map* one = rule.get<Map>();
        if (!one)
            continue;
        Series& series = series_of(monitor, one->text("metric"));
        if (series.unit.empty())
            series.unit = one->text("unit");
        for (const char* key : {"limit", "low", "high"})
            add_limit(series, one->find(key), one->text("severity"));
    }
}

} // namespace

std::string Series::shown(double value) const {
    return quantity::shown(value, unit);
}

std::string Series::limits_text() const {
    std::string out;
    for (const Limit& limit : limits)
        out += (out.empty() ? "" : ", ") + shown(limit.value) +
               (limit.severity.empty() ? "" : " (" + limit.severity + ")");
    return out;
}

std::string Series::count_text() const {
    return std::to_string(samples.size()) +
           (gaps.empty() ? "" : ", " + std::to_string(gaps.size()) + " without data");
}

bool Model::apply_measure(const journal::Event& event) {
    const Map& data = event.data;
    if (event.event == "goal.judged") {
        Goal goal;
        goal.name = data.text("name", event.step);
        if (const Value* target = data.find("target"))
            goal.target = *target;
        if (const Value* actual = data.find("actual"))
            goal.actual = *actual;
        const Value* met = data.find("met");
        goal.known = met && met->get<bool>();
        goal.met = data.boolean("met");
        std::erase_if(goals, [&](const Goal& one) { return one.name == goal.name; });
        goals.push_back(std::move(goal));
        return true;
    }
    if (!event.event.starts_with("monitor."))
        return false;
    const std::string name = event.step.empty() ? first_of(data, {"monitor", "name"}) : event.step;
    auto found = std::find_if(monitors.begin(), monitors.end(),
                              [&](const Monitor& one) { return one.name == name; });
    if (found == monitors.end())
        found = monitors.insert(monitors.end(), Monitor{name, {}, {}, 0, 0});
    if (Item* item = find(name); item && item->kind == "monitor") {
        if (event.event == "monitor.started" || event.event == "monitor.resumed") {
            item->status = Status::running;
            item->started = item->started ? item->started : event.micros;
        } else if (event.event == "monitor.ended") {
            item->status = data.boolean("again") ? Status::waiting : Status::done;
            item->ended = event.micros;
            item->elapsed_s = static_cast<double>(item->ended - item->started) / 1e6;
            item->detail = data.text("why");
        }
    }
    if (event.event == "monitor.started")
        read_limits(*found, data);
    if (event.event == "monitor.baselined")
        add_limit(series_of(*found, data.text("metric")), data.find("limit"),
                  data.text("severity"));
    if (event.event == "monitor.sampled")
        add_look(*found, event);
    if (event.event == "monitor.breached")
        found->breaches.push_back({event.micros, first_of(data, {"metric", "rule", "series"}),
                                   first_of(data, {"why", "detail", "text"}),
                                   data.text("verdict")});
    return true;
}

} // namespace runbook::view
