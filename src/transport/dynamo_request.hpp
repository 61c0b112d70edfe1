// A request of Dynamo's planes as a worker takes it: what the frame says, in our terms.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "stator/base/bytes.hpp"
#include "stator/base/error.hpp"
#include "stator/observe/trace.hpp"
#include "stator/transport/call_head.hpp"
#include "transport/dynamo_control.hpp"
#include "transport/dynamo_reader.hpp"

namespace stator::transport::dynamo {

/// In the metadata of a request from another stator: microseconds until its deadline, in decimal.
inline constexpr std::string_view remaining_key = "x-stator-remaining-us";
/// The header under which a handler finds a request id that is no UUID.
inline constexpr std::string_view request_id_key = "request-id";

/// The id of a request: that UUID, or for any other text one that is made of it, the same on every
/// machine.
RequestId request_id_of(std::string_view text) noexcept;

/// A request that can be answered. Pinned: its head points into it.
class Request {
public:
    Request(const RequestFrame& frame, ControlHeader control);
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

    /// Valid while this and the frame are. Of single_out requests the shape is unary.
    CallHead head() const noexcept;

private:
    void take_path(std::string_view path);
    void take_trace(std::string_view headers);
    void take_metadata();

    ControlHeader control_;
    std::string_view path_;  // without the instance
    InstanceId instance_;
    std::chrono::microseconds remaining_{0};
    std::optional<observe::TraceContext> trace_;
    std::vector<HeaderField> fields_;
};

struct CallHome {
    ConnectionInfo info;
    PayloadCodec codec = PayloadCodec::json;
};
/// Where, and in which codec, the sender of a control header that read_control refuses waits for an
/// answer, if that much can be read.
std::optional<CallHome> find_call_home(const Bytes& header);

}  // namespace stator::transport::dynamo
