#include "cli/exit_status.hpp"

#include <cstdio>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace stator::cli {

int status_of(ErrorCode code) noexcept {
    switch (code) {
        case ErrorCode::unavailable:
            return status_unavailable;
        case ErrorCode::deadline_exceeded:
            return status_deadline;
        case ErrorCode::overloaded:
            return status_overloaded;
        case ErrorCode::cancelled:
            return status_cancelled;
        default:
            return status_failed;
    }
}

std::string to_json(const Error& error) {
    nlohmann::ordered_json body;
    body["code"] = to_string(error.code());
    body["message"] = error.message();
    if (!error.detail().empty()) body["detail"] = error.detail();
    body["retryable"] = error.retryable();
    if (!error.context().empty()) body["context"] = error.context();
    if (error.cause() != nullptr) body["cause"] = error.cause()->what();
    const nlohmann::ordered_json line{{"error", std::move(body)}};
    return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

int report(const Failure& failure) {
    // One write: lines of the log must not come in between.
    const std::string line = to_json(failure.error) + "\n";
    std::fwrite(line.data(), 1, line.size(), stderr);
    return failure.status;
}

}  // namespace stator::cli
