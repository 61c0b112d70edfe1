// The subject by which a message of JetStream is acknowledged.
#include <gtest/gtest.h>

#include "stator/nats/jetstream.hpp"

namespace stator::nats {
namespace {

TEST(Delivery, BothFormsAreRead) {
    for (const auto* subject :
         {"$JS.ACK.stream.consumer.2.30.4.1700000000123456789.6",
          "$JS.ACK.domain.account.stream.consumer.2.30.4.1700000000123456789.6.random"}) {
        const auto read = delivery_of(subject);
        ASSERT_TRUE(read) << subject;
        EXPECT_EQ(read->deliveries, 2U);
        EXPECT_EQ(read->sequence, 30U);
        EXPECT_EQ(read->consumer_sequence, 4U);
        EXPECT_EQ(read->stored_ns, 1700000000123456789);
        EXPECT_EQ(read->pending, 6U);
    }
}

TEST(Delivery, AnythingElseIsNone) {
    for (const auto* subject :
         {"",
          "$JS.ACK.",
          "$JS.ACK.stream.consumer.2.30.4.5",
          "$JS.ACK.stream.consumer.2.30.4.5.x",
          "$JS.ACK.stream.consumer.2.30.4.5.99999999999999999999",
          "$JS.ACK.domain.account.stream.consumer.2.30.4.5",
          "_INBOX.1.2.3.4.5.6.7.8"})
        EXPECT_FALSE(delivery_of(subject)) << subject;
}

}  // namespace
}  // namespace stator::nats
