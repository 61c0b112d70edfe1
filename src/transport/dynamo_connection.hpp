// DynamoConnection: a connection that brings requests of Dynamo's TCP plane.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "stator/net/address.hpp"
#include "stator/runtime/task.hpp"
#include "transport/dynamo_link.hpp"
#include "transport/dynamo_reader.hpp"

namespace stator::transport {

class DynamoPlane;

/// Reads request frames and acknowledges them in their order, at the end of the turn that read
/// them. Lives in the frame of the task that serves it. Loop-affine. A client that does not read
/// its acknowledgements is not read from, and closed when that lasts; so is one that leaves a frame
/// incomplete.
class DynamoConnection final : DynamoLinkUser {
public:
    DynamoConnection(DynamoPlane& plane, net::Address peer);
    DynamoConnection(const DynamoConnection&) = delete;
    DynamoConnection& operator=(const DynamoConnection&) = delete;
    ~DynamoConnection() override;

    /// Until the connection has ended. Never throws.
    Task<> run(std::unique_ptr<net::Stream> stream, Bytes sniffed);

private:
    struct FrameTimer : runtime::detail::Timer {
        explicit FrameTimer(DynamoConnection& connection) noexcept;
        DynamoConnection& connection;
    };

    std::size_t space(std::array<iovec, 2>& vectors) override { return reader_.space(vectors); }
    void received(std::size_t size) override;
    void peer_finished() noexcept override;
    void writable() noexcept override;
    void lost(const Error& why) noexcept override;

    void take_frames();
    void refuse(const Error& error);
    void watch_frame() noexcept;
    void on_frame_time() noexcept;

    DynamoPlane& plane_;
    Loop& loop_;
    const net::Address peer_;
    dynamo::RequestReader reader_;
    DynamoLink link_;
    FrameTimer timer_{*this};
    std::uint64_t frames_ = 0;
    std::uint64_t frames_then_ = 0;  // when the time was last looked at
    std::size_t begun_then_ = 0;
};

}  // namespace stator::transport
