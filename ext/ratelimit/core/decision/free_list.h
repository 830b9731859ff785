/* Charges that no decision holds any more, to be used again: a few for each module that
 * includes this. Inside an object they would be zeroed each time it is made, which took as
 * long as deciding. Guarded by the GIL. */
#ifndef KINLIMIT_SPARE_H
#define KINLIMIT_SPARE_H

#define KIN_MOST_SPARE 64
static void *kin_spare[KIN_MOST_SPARE];
static int kin_spares = 0;

#endif
