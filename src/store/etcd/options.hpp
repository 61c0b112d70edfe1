// What an EtcdOptions says, checked and read.
#pragma once

#include <string_view>

#include "stator/net/address.hpp"
#include "stator/store/etcd_client.hpp"

namespace stator::store::etcd {

struct Endpoint {
    net::Address address;
    bool tls = false;
};

/// "http://host:port", "https://host:port"; without a port it is 2379.
/// Errors: invalid_request "store.options".
Result<Endpoint> parse_endpoint(std::string_view text);

/// The options with PEM texts in place of the names of files. Blocks on reading those.
/// Errors: invalid_request "store.options" naming what is wrong.
Result<EtcdOptions> checked(EtcdOptions options);

}  // namespace stator::store::etcd
