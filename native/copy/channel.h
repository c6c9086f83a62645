/*
 * The socket between the two roles. All functions answer -1 with errno; EPROTO: the other role sent nonsense.
 */
#ifndef COPY_CHANNEL_H
#define COPY_CHANNEL_H

#include <stddef.h>

#include "failure.h"
#include "protocol.h"

#define CHANNEL_BUFFER (2 * COPY_INLINE_MAX)

struct channel {
  int socket;
  bool takes_descriptors; /* outside does, inside does not */
  int descriptor;         /* came and was not taken yet; -1: none */
  size_t written;         /* bytes that wait in `out` */
  size_t start, end;      /* what was received and not yet looked at */
  unsigned char out[CHANNEL_BUFFER], in[CHANNEL_BUFFER];
};

/*
 * A received message. All are views into the channel, valid until the next is received, and terminated copies
 * where they are strings.
 */
struct message {
  enum copy_type type;
  uint32_t mode;
  uint64_t size;
  char name[COPY_NAME_MAX + 1];
  const unsigned char *payload;
  size_t payload_length;
};

void channel_init(struct channel *channel, int socket, bool takes_descriptors);

int channel_send(struct channel *channel, const struct copy_header *header, const char *name,
                 const void *payload);
/*
 * As channel_send, in two steps, for a payload that is produced in place: room for `size` bytes (at most
 * COPY_INLINE_MAX), valid until the next call; then the header with the real length.
 */
unsigned char *channel_reserve(struct channel *channel, size_t name_length, size_t size);
void channel_commit(struct channel *channel, const struct copy_header *header, const char *name);
int channel_flush(struct channel *channel);

/* The next message, whole. ECONNRESET: the other role has ended. */
int channel_receive(struct channel *channel, struct message *message);

/* END and DONE. */
int channel_send_failure(struct channel *channel, enum copy_type type, const struct failure *failure);
void failure_of_message(const struct message *message, struct failure *failure);

/* Sends a message at once, with a descriptor. */
int channel_send_fd(struct channel *channel, const struct copy_header *header, const char *name, int fd);
/*
 * The descriptor that came with the message last received, now the caller's. -1 with errno EPROTO: none did,
 * or none that `transfer_accepts`.
 */
int channel_take_fd(struct channel *channel);

#endif
