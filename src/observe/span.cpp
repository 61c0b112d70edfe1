#include "stator/observe/span.hpp"

#include <chrono>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "observe/log_lines.hpp"
#include "stator/codec/value_writer.hpp"

namespace stator::observe {

const SpanPlace& lasting(const SpanPlace& place) {
    static auto& lock = *new std::mutex;  // threads that outlive main still log
    static auto& places = *new std::set<SpanPlace>;
    const std::lock_guard guard{lock};
    return *places.insert(place).first;
}

namespace {

using Members = std::vector<std::pair<std::string_view, std::string>>;

std::string hex(const Span::Id& id) {
    std::string text;
    for (const auto byte : id) text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
    return text;
}

/// Those that the original's lines have, by its names; what is not known is left out.
Members texts_of(const Span& span) {
    Members all{{"span_name", std::string{span.name}}};
    const auto add = [&](std::string_view name, std::string text) {
        if (!text.empty()) all.emplace_back(name, std::move(text));
    };
    if (span.trace) {
        add("trace_id", span.trace->trace_id_text());
        add("span_id", span.trace->span_id_text());
        if (span.parent) add("parent_id", hex(*span.parent));
        add("trace_flags", fmt::format("{:02x}", span.trace->flags));
        add("tracestate", span.trace->state);
    }
    add("request_id", span.request_id);
    add("x_request_id", one_line(span.x_request_id));
    if (span.place != nullptr) {
        add("namespace", span.place->namespace_);
        add("component", span.place->component);
        add("endpoint", span.place->endpoint);
        add("instance_id", std::to_string(span.place->instance_id));
    }
    return all;
}

}  // namespace

std::string json_members(const Span& span) {
    const auto texts = texts_of(span);
    ValueWriter writer{PayloadCodec::json, 512};
    writer.begin_map(texts.size() + (span.duration ? 1U : 0U));
    for (const auto& [name, text] : texts) {
        writer.key(name);
        writer.string(text);
    }
    if (span.duration) {
        writer.key("time.duration_us");
        writer.integer(std::chrono::duration_cast<std::chrono::microseconds>(*span.duration).count()
        );
    }
    writer.end_map();
    const auto object = writer.finish();
    if (!object) return {};  // a state that is not UTF-8: the line is worth more than its span
    std::string members{object->view()};
    return members.substr(1, members.size() - 2);
}

}  // namespace stator::observe
