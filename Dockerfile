# The image of a broker: one static binary, and links to it under the names of Kafka's scripts, with and without .sh. There is no shell in it.
# `make image` gathers the files in bin/image and builds it. Without a command it starts a broker that KAFKA_* variables configure
# (docs/operations.md); without KAFKA_ZOOKEEPER_CONNECT it brings its own ZooKeeper.
FROM scratch
COPY . /
ENV KAFKA_LOG_DIRS=/var/lib/kafka/data KAFKA_GREGOR_ZOOKEEPER_DATA_DIR=/var/lib/kafka/zookeeper
VOLUME /var/lib/kafka
WORKDIR /var/lib/kafka
EXPOSE 9092
CMD ["/usr/bin/gregor"]
