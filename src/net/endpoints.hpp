// Between Asio's endpoints and ours.
#pragma once

#include <boost/asio/ip/tcp.hpp>

#include "stator/net/address.hpp"

namespace stator::net {

Address to_address(const boost::asio::ip::tcp::endpoint& endpoint);

}  // namespace stator::net
