#include "store/etcd/status.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace stator::store::etcd {

namespace {

using Kind = Failure::Kind;

// gRPC's codes.
constexpr int invalid_argument = 3;
constexpr int not_found = 5;
constexpr int permission_denied = 7;
constexpr int resource_exhausted = 8;
constexpr int failed_precondition = 9;
constexpr int out_of_range = 11;
constexpr int unimplemented = 12;
constexpr int unavailable = 14;
constexpr int unauthenticated = 16;

struct Rule {
    int code;
    std::string_view text;  ///< what the message contains; empty: whatever it is
    Kind kind;
    ErrorCode error;
    std::string_view detail;
};

// The first that fits. etcd tells by text what its codes leave open.
constexpr std::array rules = std::to_array<Rule>({
    {unavailable, "andshake failed", Kind::not_done, ErrorCode::unavailable, "store.tls"},
    {unavailable, "CERTIFICATE", Kind::not_done, ErrorCode::unavailable, "store.tls"},
    {unavailable, "failed to connect", Kind::not_done, ErrorCode::unavailable, "store.unreachable"},
    {unavailable, "DNS resolution", Kind::not_done, ErrorCode::unavailable, "store.unreachable"},
    {unavailable, "no leader", Kind::not_done, ErrorCode::unavailable, "store.no_leader"},
    {unavailable, "", Kind::unknown, ErrorCode::unavailable, "store.unreachable"},
    {unauthenticated, "", Kind::token, ErrorCode::unauthenticated, "store.authentication"},
    {invalid_argument,
     "auth store is old",
     Kind::token,
     ErrorCode::unauthenticated,
     "store.authentication"},
    {invalid_argument,
     "authentication failed",
     Kind::refused,
     ErrorCode::unauthenticated,
     "store.authentication"},
    {invalid_argument,
     "user name is empty",
     Kind::refused,
     ErrorCode::unauthenticated,
     "store.authentication"},
    {invalid_argument, "too large", Kind::refused, ErrorCode::payload_too_large, "store.too_large"},
    {invalid_argument, "", Kind::refused, ErrorCode::invalid_request, "store.request"},
    {failed_precondition,
     "authentication is not enabled",
     Kind::no_auth,
     ErrorCode::invalid_request,
     "store.no_authentication"},
    {failed_precondition, "", Kind::refused, ErrorCode::invalid_request, "store.request"},
    {permission_denied, "", Kind::refused, ErrorCode::permission_denied, "store.permission"},
    {not_found, "lease not found", Kind::refused, ErrorCode::not_found, "store.lease_not_found"},
    {not_found, "", Kind::refused, ErrorCode::not_found, "store.request"},
    {resource_exhausted, "space exceeded", Kind::refused, ErrorCode::overloaded, "store.no_space"},
    {resource_exhausted,
     "too many requests",
     Kind::not_done,
     ErrorCode::overloaded,
     "store.overloaded"},
    {resource_exhausted,
     "Received message",
     Kind::refused,
     ErrorCode::payload_too_large,
     "store.answer_too_large"},
    {resource_exhausted,
     "received message",
     Kind::refused,
     ErrorCode::payload_too_large,
     "store.too_large"},
    {resource_exhausted, "", Kind::unknown, ErrorCode::overloaded, "store.overloaded"},
    {out_of_range, "compacted", Kind::refused, ErrorCode::unavailable, "store.compacted"},
    {out_of_range, "", Kind::refused, ErrorCode::invalid_request, "store.request"},
    {unimplemented, "", Kind::refused, ErrorCode::unimplemented, "store.request"},
});

}  // namespace

Failure failure_of(const Status& status) {
    const auto* const rule = std::ranges::find_if(rules, [&](const Rule& each) {
        return each.code == status.code && status.message.contains(each.text);
    });
    auto message = fmt::format("etcd: {}", status.message);
    // A time that is over, a stream that broke off, a defect: whatever was asked may be done.
    if (rule == rules.end())
        return {Kind::unknown, {ErrorCode::unavailable, "store.unreachable", std::move(message)}};
    return {rule->kind, {rule->error, std::string{rule->detail}, std::move(message)}};
}

}  // namespace stator::store::etcd
