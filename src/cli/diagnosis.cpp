#include "cli/diagnosis.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/table.hpp"
#include "stator/base/nearest.hpp"
#include "stator/codec/json.hpp"
#include "stator/transport/mux_frame.hpp"

namespace stator::cli {

namespace {

using discovery::Instance;

std::string_view to_string(Verdict verdict) noexcept {
    switch (verdict) {
        case Verdict::good:
            return "ok";
        case Verdict::warning:
            return "warning";
        case Verdict::bad:
            return "bad";
    }
    return "unknown";
}

/// Of a record that clients accept.
void examine_planes(const Instance& instance, const std::string& subject, Examined& examined) {
    auto& findings = examined.findings;
    if (instance.draining()) {
        findings.push_back(
            {Verdict::warning, "record", subject, "it is draining: no new request goes to it"}
        );
    }
    if (instance.transport.kind == discovery::TransportKind::nats_tcp) {
        findings.push_back(
            {Verdict::warning,
             "record",
             subject,
             "its Dynamo transport is NATS: by that, only callers reach it that use the same "
             "server "
             "(DYN_REQUEST_PLANE=nats)"}
        );
    } else if (const auto good = instance.check(); !good) {
        findings.push_back(
            {instance.mux ? Verdict::warning : Verdict::bad,
             "record",
             subject,
             fmt::format("Dynamo's clients cannot use it: {}", good.error().what())}
        );
    }
    if (instance.mux && !instance.mux->speaks(transport::mux::highest_version)) {
        findings.push_back(
            {Verdict::warning,
             "record",
             subject,
             fmt::format(
                 "it speaks versions {} to {} of the multiplexed plane, this is version {}",
                 instance.mux->lowest_version,
                 instance.mux->highest_version,
                 transport::mux::highest_version
             )}
        );
    }
}

}  // namespace

Examined examine_record(std::string_view key, std::string_view record) {
    Examined examined;
    auto instance = discovery::from_record(key, record);
    if (!instance) {
        examined.findings.push_back(
            {Verdict::bad,
             "record",
             std::string{key},
             fmt::format("no client accepts it: {}", instance.error().what())}
        );
        return examined;
    }
    const auto subject =
        fmt::format("{} {}", instance->endpoint.to_string(), instance->id.to_string());
    examined.findings.push_back(
        {Verdict::good,
         "record",
         subject,
         fmt::format(
             "{} {}, requests in {}{}",
             discovery::to_string(instance->transport.kind),
             instance->transport.address,
             to_string(instance->codec()),
             instance->mux ? fmt::format(", mux {}", instance->mux->address) : std::string{}
         )}
    );
    examine_planes(*instance, subject, examined);
    examined.instance = std::move(*instance);
    return examined;
}

Finding nobody_serves(const EndpointId& endpoint, const std::vector<EndpointId>& known) {
    const auto wanted = endpoint.to_string();
    std::vector<std::string> names;
    for (const auto& each : known) names.push_back(each.to_string());
    const std::vector<std::string_view> words{names.begin(), names.end()};
    std::string message = "nobody serves it";
    if (const auto near = nearest(wanted, words)) {
        message += fmt::format("; did you mean {}?", *near);
    } else if (names.empty()) {
        message += ", nor anything else in this store";
    }
    return {Verdict::bad, "record", wanted, std::move(message)};
}

bool any_bad(const std::vector<Finding>& findings) noexcept {
    return std::ranges::any_of(findings, [](const auto& each) {
        return each.verdict == Verdict::bad;
    });
}

std::string as_table(const std::vector<Finding>& findings) {
    std::vector<std::vector<std::string>> rows;
    for (const auto& each : findings)
        rows.push_back(
            {std::string{to_string(each.verdict)}, each.check, each.subject, each.message}
        );
    return aligned(rows);
}

std::string as_json(const std::vector<Finding>& findings) {
    auto all = Document::array();
    for (const auto& each : findings) {
        all.push_back({
            {"verdict", to_string(each.verdict)},
            {"check", each.check},
            {"subject", each.subject},
            {"message", each.message},
        });
    }
    // What comes from foreign records need not be UTF-8.
    return all.dump(-1, ' ', false, Document::error_handler_t::replace) + '\n';
}

}  // namespace stator::cli
