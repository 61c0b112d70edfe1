// PeerObserver: what pools of connections learn about peers.
#pragma once

#include <string>

#include "stator/base/error.hpp"
#include "stator/base/instance_id.hpp"

namespace stator::transport {

/// Told what a pool learns about peers, by the address that was dialled. Called on the pool's loop;
/// must not throw.
class PeerObserver {
public:
    virtual ~PeerObserver() = default;
    /// The established connection is gone. Calls on it have ended.
    virtual void on_peer_lost(const std::string& address, const Error& cause) noexcept = 0;
    virtual void on_peer_unreachable(const std::string& address, const Error& cause) noexcept = 0;
    virtual void on_peer_connected(const std::string& address) noexcept = 0;
    /// No answer for a while; calls stay, and so does the connection.
    virtual void on_peer_suspect(const std::string& address) noexcept = 0;
    virtual void on_peer_healthy(const std::string& address) noexcept = 0;
    /// `instance` none: every instance at that address.
    virtual void on_peer_draining(const std::string& address, InstanceId instance) noexcept = 0;
};

}  // namespace stator::transport
