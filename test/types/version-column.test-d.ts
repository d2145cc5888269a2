import { concurrency } from '../../src/index.js'
import { base, db, type Equal, type Expect, type Resolved } from './support.js'

// A model without a version column.
// @ts-expect-error: it has no version column
db.note.updateVersioned({ where: { id: 1 }, data: { text: 'x' } })
// @ts-expect-error: a version does not give it one
db.note.updateVersioned({ where: { id: 1, version: 0 }, data: { text: 'x' } })
// @ts-expect-error: nor does a function
db.note.updateVersioned({ where: { id: 1 }, data: () => ({ text: 'x' }) })
// @ts-expect-error: nor can it be tried
db.note.tryUpdateVersioned({ where: { id: 1 }, data: () => ({ text: 'x' }) })
// @ts-expect-error: nor deleted
db.note.deleteVersioned({ where: { id: 1, version: 0 } })

// A field of the right name and of another type.
// @ts-expect-error: a String is no version column
db.release.updateVersioned({ where: { id: 1, version: '1.0' }, data: {} })
// @ts-expect-error: nor beside a function
db.release.updateVersioned({ where: { id: 1 }, data: () => ({}) })
// @ts-expect-error: nor for a delete
db.release.deleteVersioned({ where: { id: 1, version: '1.0' } })

// A field of the right name and type that may well be something else.
// @ts-expect-error: it is part of a compound key
db.prompt.updateVersioned({ where: { id: 1, version: 0 }, data: { text: 'x' } })
// @ts-expect-error: nor beside a function
db.prompt.updateVersioned({ where: { id: 1 }, data: () => ({ text: 'x' }) })
// @ts-expect-error: nor where the key is used
db.prompt.deleteVersioned({ where: { name_version: { name: 'x', version: 1 }, version: 1 } })
// @ts-expect-error: it is a key by itself
db.edition.updateVersioned({ where: { version: 0 }, data: { text: 'x' } })
// @ts-expect-error: it has no default
db.contract.updateVersioned({ where: { id: 1, version: 0 }, data: { text: 'x' } })
// @ts-expect-error: nor for many
db.contract.updateManyVersioned([{ where: { id: 1, version: 0 }, data: { text: 'x' } }])
// Named, it is the version column: for one model, or for all that have it.
const namedOnce = base.$extends(concurrency({ version: { models: { Prompt: { field: 'version' } } } }))
namedOnce.prompt.updateVersioned({ where: { id: 1, version: 0 }, data: { text: 'x' } })
namedOnce.product.updateVersioned({ where: { id: 1, version: 0 }, data: { name: 'x' } })
// @ts-expect-error: nobody has named this one
namedOnce.contract.updateVersioned({ where: { id: 1, version: 0 }, data: { text: 'x' } })
const namedForAll = base.$extends(concurrency({ version: { field: 'version' } }))
namedForAll.contract.updateVersioned({ where: { id: 1 }, data: () => ({ text: 'x' }) })
namedForAll.prompt.deleteVersioned({ where: { name_version: { name: 'x', version: 1 }, version: 1 } })
const notNamed = base.$extends(concurrency({ version: { models: { Prompt: {} } } }))
// @ts-expect-error: options without a field name none
notNamed.prompt.deleteVersioned({ where: { id: 1, version: 0 } })

// Another name, for one model.
const perModel = base.$extends(concurrency({ version: { models: { Document: { field: 'revision' } } } }))
{
  const call = perModel.document.updateVersioned({ where: { id: 'x', revision: 2 }, data: { title: 'Draft' } })
  type _revision = Expect<Equal<Resolved<typeof call>['revision'], number>>
}
perModel.document.updateVersioned({ where: { id: 'x' }, data: ({ revision }) => ({ title: `Draft ${revision}` }) })
perModel.product.updateVersioned({ where: { id: 1, version: 7 }, data: { stock: 1 } })
// @ts-expect-error: the revision is missing
perModel.document.updateVersioned({ where: { id: 'x' }, data: { title: 'Draft' } })
// @ts-expect-error: the revision is undefined
perModel.document.updateVersioned({ where: { id: 'x', revision: undefined }, data: () => ({ title: 'Draft' }) })
// @ts-expect-error: the revision is not the caller's to set
perModel.document.updateVersioned({ where: { id: 'x', revision: 2 }, data: { revision: 3 } })
// @ts-expect-error: nor in a function
perModel.document.updateVersioned({ where: { id: 'x' }, data: () => ({ revision: 3 }) })

// Another name, for all models; one of them keeps its own.
const global = base.$extends(
  concurrency({
    version: { field: 'revision', models: { Product: { field: 'version' }, Note: { bumpPlainWrites: false } } },
  }),
)
global.document.deleteVersioned({ where: { id: 'x', revision: 2 } })
global.document.updateManyVersioned([{ where: { id: 'x', revision: 2 }, data: { title: 'Draft' } }])
global.product.deleteVersioned({ where: { id: 1, version: 7 } })
// @ts-expect-error: it has no revision
global.category.deleteVersioned({ where: { id: 1, version: 7 } })
// @ts-expect-error: settings of its own, and still no revision
global.note.deleteVersioned({ where: { id: 1, revision: 7 } })

// A model that is taken out.
const without = base.$extends(concurrency({ version: { models: { Category: false } } }))
without.product.deleteVersioned({ where: { id: 1, version: 7 } })
// @ts-expect-error: set to false
without.category.deleteVersioned({ where: { id: 1, version: 7 } })
// @ts-expect-error: set to false
without.category.updateVersioned({ where: { id: 1 }, data: () => ({ name: 'Tea' }) })

// Options.
concurrency({ retry: { attempts: 3, baseDelay: 1, maxDelay: 10, deadline: 100, retryOn: () => false } })
// @ts-expect-error: not an option
concurrency({ versions: { field: 'revision' } })
// @ts-expect-error: not an option of a version
concurrency({ version: { column: 'revision' } })
// @ts-expect-error: true says nothing
concurrency({ version: { models: { Product: true } } })
