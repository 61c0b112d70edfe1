#include "tools/demo/completion.hpp"

#include <chrono>
#include <optional>

#include <fmt/format.h>

#include "stator/runtime/timer.hpp"

namespace stator::demo {

Result<void> CompletionRequest::check() const {
    if (words > most_words) {
        return fail(
            ErrorCode::invalid_request,
            "demo.words",
            fmt::format("{} words were asked for, {} is the most", words, most_words)
        );
    }
    if (interval_ms > longest_interval_ms) {
        return fail(
            ErrorCode::invalid_request,
            "demo.interval",
            fmt::format(
                "an interval of {} ms was asked for, {} is the longest",
                interval_ms,
                longest_interval_ms
            )
        );
    }
    return {};
}

Stream<std::string> Completer::operator()(Context context, CompletionRequest request) const {
    if (auto good = request.check(); !good) throw good.error();
    auto text = model_->continue_from(request.prompt, request.seed);
    const std::chrono::milliseconds interval{request.interval_ms};
    const auto begin = Clock::current().now();
    for (std::uint32_t i = 0; i < request.words && !context.stopped(); ++i) {
        if (i > 0) co_await sleep_until(Deadline::at(begin + i * interval));
        co_yield text.next();
    }
}

}  // namespace stator::demo

namespace stator::inline codec {

using demo::CompletionRequest;

void PayloadValue<CompletionRequest>::write(ValueWriter& writer, const CompletionRequest& request) {
    writer.begin_map(4);
    writer.key("prompt");
    writer.string(request.prompt);
    writer.key("seed");
    writer.unsigned_integer(request.seed);
    writer.key("words");
    writer.unsigned_integer(request.words);
    writer.key("interval_ms");
    writer.unsigned_integer(request.interval_ms);
    writer.end_map();
}

namespace {

/// Reads the value of `key` into its field.
template <class T>
Result<void> into(T& field, Result<T> value) {
    if (!value) return std::unexpected{std::move(value).error()};
    field = std::move(*value);
    return {};
}

Result<void> read_field(ValueReader& reader, const std::string& key, CompletionRequest& request) {
    if (key == "prompt") return into(request.prompt, reader.string());
    if (key == "seed") return into(request.seed, reader.unsigned_integer());
    if (key == "words") return into(request.words, PayloadValue<std::uint32_t>::read(reader));
    if (key == "interval_ms")
        return into(request.interval_ms, PayloadValue<std::uint32_t>::read(reader));
    return std::unexpected{
        reader.error("field", "the fields of a completion are prompt, seed, words and interval_ms")
    };
}

}  // namespace

Result<CompletionRequest> PayloadValue<CompletionRequest>::read(ValueReader& reader) {
    if (auto good = reader.begin_map(); !good) return std::unexpected{std::move(good).error()};
    CompletionRequest request;
    bool has_prompt = false;
    while (true) {
        auto key = reader.next_key();
        if (!key) return std::unexpected{std::move(key).error()};
        const std::optional<std::string> name = std::move(*key);
        if (!name) break;
        has_prompt = has_prompt || *name == "prompt";
        if (auto good = read_field(reader, *name, request); !good) {
            return std::unexpected{std::move(good).error()};
        }
    }
    if (!has_prompt) return std::unexpected{reader.error("field", "a completion needs a prompt")};
    return request;
}

}  // namespace stator::inline codec
